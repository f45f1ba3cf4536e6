//! Carries out the steps of a run: each is one process of the worker, which keeps what is up to date.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use slam_dataset::{Event, publish};
use slam_pipeline::executor::process;
use slam_pipeline::run::RunStep;

use crate::exit::Failure;
use crate::interrupt;
use crate::progress::Progress;

/// What the worker says of a step that had nothing to do.
const UP_TO_DATE: &str = "up to date";

/// How the allocator of a worker that trains is set, unless the environment says otherwise: blocks are kept
/// and large ones use huge pages. Without it every step pages its activations in anew (see
/// `docs/benchmarks.md`).
pub(crate) const ALLOCATOR: [(&str, &str); 2] =
    [("MIMALLOC_PURGE_DELAY", "-1"), ("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1")];

/// Where steps run.
pub(crate) struct Runner {
    /// The worker program.
    pub(crate) worker: PathBuf,
    /// The device as the user named it, or several; steps that don't train use the first.
    pub(crate) device: String,
    /// The run's folder.
    pub(crate) run: PathBuf,
    /// Events as JSON lines.
    pub(crate) json: bool,
    /// The command that goes on with the run.
    pub(crate) resume: String,
}

/// How a step ended.
pub(crate) struct Done {
    /// What the worker says came of it.
    pub(crate) text: String,
    /// Whether there was something to do.
    pub(crate) worked: bool,
}

impl Runner {
    /// Where a step's request lies in a run's folder.
    pub(crate) fn request_path(run: &Path, step: &str) -> PathBuf {
        run.join("requests").join(format!("{}.json", step.replace(' ', "-")))
    }

    /// Writes a step's request and carries it out.
    pub(crate) fn run(&self, step: &RunStep) -> anyhow::Result<Done> {
        let path = Self::request_path(&self.run, &step.name);
        publish::write(&path, &serde_json::to_vec_pretty(&step.request)?)?;
        self.carry_out(&step.name, step.command, &path)
    }

    /// Writes the requests of all steps and has the worker read them, so that a misspelt field of the last one
    /// shows before the first one starts.
    pub(crate) fn check(&self, steps: &[RunStep]) -> anyhow::Result<()> {
        let mut worker = Command::new(&self.worker);
        worker.arg("check").stdin(Stdio::null());
        for step in steps {
            let path = Self::request_path(&self.run, &step.name);
            publish::write(&path, &serde_json::to_vec_pretty(&step.request)?)?;
            worker.arg(format!("{}={}", step.command, path.display()));
        }
        let output = worker
            .output()
            .with_context(|| format!("failed to start {}", self.worker.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().trim_start_matches("error: ").to_owned();
            return Err(Failure::Usage(said).into());
        }
        Ok(())
    }

    /// Carries out a request.
    pub(crate) fn carry_out(
        &self,
        name: &str,
        command: &str,
        request: &Path,
    ) -> anyhow::Result<Done> {
        let mut worker = Command::new(&self.worker);
        let trains = matches!(command, "pretrain" | "plan-pretrain" | "dpo");
        let first = self.device.split(',').next().unwrap_or("auto");
        let device = if trains { &self.device } else { first };
        worker.args([command, "--device", device, "--request"]).arg(request);
        for (name, value) in ALLOCATOR {
            if std::env::var_os(name).is_none() {
                worker.env(name, value);
            }
        }
        let mut progress = Progress::new(name, 100, self.json);
        let mut result = None;
        let status = process::run(&mut worker, interrupt::flag(), &mut |event| {
            progress.event(&event);
            match event {
                Event::Result { text } => result = Some(text),
                Event::Unit { prompt, unit } => {
                    println!("{}", serde_json::json!({"prompt": prompt, "unit": unit}));
                }
                _ => {}
            }
        })
        .with_context(|| format!("failed to start {}", self.worker.display()))?;
        if status.code() == Some(130) || interrupt::flag().load(Ordering::Relaxed) {
            return Err(Failure::Interrupted(format!(
                "interrupted during {name}; what was finished is kept, go on with: {}",
                self.resume
            ))
            .into());
        }
        if !status.success() {
            bail!(
                "{name} failed ({status}); the worker's message is above, its request is {}; what was saved \
                 is kept, go on with: {}",
                request.display(),
                self.resume
            );
        }
        let text = result.unwrap_or_default();
        let worked = text != UP_TO_DATE;
        if worked && !matches!(command, "report" | "scores" | "compare" | "plan-pretrain") {
            progress.finish(&text);
        } else {
            progress.close();
        }
        Ok(Done { text, worked })
    }
}
