//! What the end-to-end tests share: the programs, and a finished quick demo.
//!
//! The tests drive the project through its commands. The programs are built once, in the profile that everything
//! else is built in, and handed to the commands by the variables that a cluster node would use.

pub mod tiny;
pub mod wav;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs, io};

use serde_json::Value;
use slam_commands::build::outside_cargo;
use tempfile::TempDir;

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The worker's features beside the CPU: those of `SLAM_FEATURES`, which `cargo xtask test` sets.
pub fn features() -> impl Iterator<Item = String> {
    let names = env::var("SLAM_FEATURES").unwrap_or_default();
    names
        .split(',')
        .map(|f| f.trim().to_owned())
        .filter(|f| !f.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The folder of the programs, which are built once a test process.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let features = features().map(|f| format!("slam/{f}")).collect::<Vec<_>>().join(",");
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let status = outside_cargo(&mut command)
            .args(["build", "--release", "--quiet", "-p", "xtask", "-p", "slam"])
            .args(["-p", "slam-speak", "--features", &features])
            .current_dir(workspace())
            .status();
        assert!(matches!(status, Ok(s) if s.success()), "the programs do not build");
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace().join("target"), PathBuf::from);
        target.join("release")
    })
}

/// A command of the project, as `cargo xtask` runs it.
pub fn xtask(arguments: &[&str]) -> Command {
    let programs = programs();
    let mut command = Command::new(programs.join("xtask"));
    command
        .args(arguments)
        .current_dir(workspace())
        .env("CARGO_MANIFEST_DIR", workspace().join("xtask"))
        .env("SLAM_WORKER", programs.join("slam"))
        .env("SLAM_SPEAK", programs.join("slam-speak"));
    command
}

/// The program `slam` itself.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(programs().join("slam"));
    command.args(arguments).current_dir(workspace());
    command
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be started.
pub fn run(arguments: &[&str]) -> io::Result<Said> {
    Ok(xtask(arguments).output()?.into())
}

/// A folder with a quick demo in it: `data/` and `run/`.
pub struct Demo {
    folder: TempDir,
    /// What the demo said.
    pub said: Said,
}

impl Demo {
    /// A finished quick demo, made once a test process and to be left as it is.
    pub fn finished() -> &'static Self {
        static DEMO: OnceLock<Demo> = OnceLock::new();
        DEMO.get_or_init(|| {
            let made = TempDir::new().and_then(|folder| {
                let said = xtask(&["demo", "--quick"])
                    .arg("--data")
                    .arg(folder.path().join("data"))
                    .arg("--run")
                    .arg(folder.path().join("run"))
                    .output()?
                    .into();
                Ok(Self { folder, said })
            });
            match made {
                Ok(demo) if demo.said.code == Some(0) => demo,
                Ok(demo) => panic!("the quick demo failed:\n{}", demo.said.stderr),
                Err(e) => panic!("the quick demo cannot be run: {e}"),
            }
        })
    }

    /// The data root.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The run's folder.
    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A copy to change.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn copy(&self) -> io::Result<Self> {
        let folder = TempDir::new()?;
        copy(self.folder.path(), folder.path())?;
        let said = Said { code: Some(0), stdout: String::new(), stderr: String::new() };
        Ok(Self { folder, said })
    }

    /// Runs the demo again.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn again(&self, more: &[&str]) -> io::Result<Said> {
        Ok(self.command(more).output()?.into())
    }

    /// The command that runs the demo again.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = xtask(&["demo", "--quick"]);
        command.arg("--data").arg(self.data()).arg("--run").arg(self.run()).args(more);
        command
    }
}

/// The pipeline of a run with everything that was set, in a form that becomes TOML.
///
/// # Panics
/// If the folder is no run's.
pub fn pipeline_of(run: &Path) -> Value {
    let file = run.join("run.json");
    let text = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut file: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut pipeline = file["pipeline"].take();
    drop_nulls(&mut pipeline);
    pipeline
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Copies a folder.
///
/// # Errors
/// If the disk refuses.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
