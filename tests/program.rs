//! The installable program: alone in a folder, far from a clone.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use slam_tests::tiny::wav;
use slam_tests::{Said, programs};
use tempfile::TempDir;

/// Whether the speech program is installed beside the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Installed,
    Missing,
}

/// A folder with the programs, and an empty one to work in.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn new(speech: Speech) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: &[&str] = match speech {
            Speech::Installed => &["slam", "slam-speak"],
            Speech::Missing => &["slam"],
        };
        for name in names {
            fs::copy(programs().join(name), folder.path().join("bin").join(name)).unwrap();
        }
        Self { folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The program in the empty folder, with nothing of cargo and of this project in its environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("bin/slam"));
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO") || name.starts_with("SLAM_") {
                command.env_remove(&*name);
            }
        }
        command.args(arguments).current_dir(self.work());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let said: Said = self.command(arguments).output().unwrap().into();
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains("cargo xtask"), "{arguments:?}: {text}");
        }
        said
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}\n{}", said.stdout, said.stderr);
        said.stdout
    }
}

#[test]
fn the_demo_runs_in_an_empty_folder() {
    let program = Installed::new(Speech::Installed);
    program.ok(&["demo", "--quick"]);
    assert!(program.ok(&["demo", "--quick"]).contains("nothing to do"));
    let data = ["--data", "data/quick"];
    let list = program.ok(&[&["shards", "list"][..], &data].concat());
    assert!(list.contains("demo-stories/ingest-v2/part-00000-of-00003"), "{list}");
    let status = program.ok(&[&["shards", "status", "--quick"][..], &data].concat());
    assert!(status.contains("demo-stories unitise: 3 done"), "{status}");
    assert!(program.ok(&["report", "runs/demo-quick"]).contains("corpus"));
}

#[test]
fn the_machine_is_told_of_without_a_clone() {
    let said = Installed::new(Speech::Missing).ok(&["doctor"]);
    assert!(said.lines().any(|l| l.starts_with("worker")), "{said}");
}

#[test]
fn pipelines_and_data_manifests_are_carried_by_name() {
    let program = Installed::new(Speech::Missing);
    for name in ["slam", "slam-scaled", "twist-350m"] {
        let arguments = ["train", "--pipeline", name, "--budget", "24h", "--dry-run"];
        let said = program.ok(&[&arguments[..], &["--gpu", "a5000"]].concat());
        assert!(said.contains("parameters"), "{said}");
    }
    let said = program.run(&["train", "--pipeline", "nonesuch"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("demo, slam, slam-scaled, twist-350m"), "{}", said.stderr);
    let said = program.run(&["train", "--pipeline", "demo", "--steps", "1"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let hint = "`slam prepare-data --pipeline demo --data data`";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
    for name in ["librispeech", "salmon", "stinystories"] {
        let said = program.run(&["prepare-data", "--dataset", name, "--offline"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let option = format!("--source {name}=DIR");
        assert!(said.stderr.contains(&option), "{}", said.stderr);
    }
}

/// The commands that the program's help lists.
fn commands(program: &Installed) -> Vec<String> {
    let help = program.ok(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter_map(|l| l.split_whitespace().next());
    names.filter(|n| *n != "help").map(str::to_owned).collect()
}

#[test]
fn shells_complete_every_command_and_each_has_a_page_and_a_help() {
    let program = Installed::new(Speech::Missing);
    let commands = commands(&program);
    assert!(commands.len() > 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = program.ok(&["completions", shell]);
        assert!(commands.iter().all(|c| script.contains(c.as_str())), "{shell}: {script}");
        if shell == "bash" {
            let path = program.work().join("slam.bash");
            fs::write(&path, script).unwrap();
            let read: Said = Command::new("bash").arg("-n").arg(&path).output().unwrap().into();
            assert_eq!(read.code, Some(0), "{}", read.stderr);
        }
    }
    program.ok(&["man", "--out", "pages"]);
    for command in &commands {
        let page = program.work().join(format!("pages/slam-{command}.1"));
        let page = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(page.starts_with(".ie") && page.contains(".TH"), "{page}");
        assert!(!page.contains("cargo xtask"), "{page}");
        program.ok(&[command, "--help"]);
    }
    assert!(program.work().join("pages/slam.1").is_file());
}

#[test]
fn the_demo_without_its_speech_program_says_how_to_get_it() {
    let program = Installed::new(Speech::Missing);
    let said = program.run(&["demo", "--quick"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for part in ["slam-speak", "cargo install", "--tts-command"] {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
}

#[test]
fn commands_and_workers_of_different_versions_refuse_each_other() {
    let program = Installed::new(Speech::Missing);
    let request = program.work().join("request.json");
    fs::write(&request, r#"{"wire": 99, "request": "from the future"}"#).unwrap();
    let said = program.run(&["worker", "--request", request.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("version 99 of the wire format"), "{}", said.stderr);
    // A worker that says another version, and one that says none.
    let recordings = program.work().join("recordings");
    fs::create_dir(&recordings).unwrap();
    (0..3).for_each(|i| fs::write(recordings.join(format!("{i}.wav")), wav(i)).unwrap());
    let script = program.work().join("worker.sh");
    for (line, says) in [
        (r#"{"event":"hello","wire":99}"#, "version 99 of the wire format"),
        ("ready", "no version of the wire format"),
    ] {
        fs::write(&script, format!("#!/bin/sh\necho '{line}'\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = program.command(&["prepare-data", "--input", "recordings"]);
        let said: Said = command.env("SLAM_WORKER", &script).output().unwrap().into();
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains(says), "{}", said.stderr);
        assert!(said.stderr.contains("SLAM_WORKER"), "{}", said.stderr);
    }
}
