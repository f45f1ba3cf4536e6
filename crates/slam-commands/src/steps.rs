//! Carries out the steps of a run: each is one process of the worker, which keeps what is up to date.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use slam_executor::process;
use slam_pipeline::RunStep;
use slam_recipe::device::Devices;
use slam_recipe::event::Outcome;
use slam_recipe::request::CheckRequest;
use slam_recipe::{Event, Request};

use crate::build::ALLOCATOR;
use crate::exit::Failure;
use crate::progress::{Events, Progress};

/// Where steps run.
pub(crate) struct Runner {
    /// The worker program.
    worker: PathBuf,
    /// The device as the user named it, or several; steps that don't train use the first.
    device: Devices,
    /// The run's folder, or another that keeps the requests.
    folder: PathBuf,
    /// How the workers' events are shown.
    events: Events,
    /// The command that goes on with the run.
    resume: String,
}

/// Carries out one step in a folder of its own, which is removed afterwards.
pub(crate) fn once(
    worker: PathBuf,
    device: &Devices,
    events: Events,
    name: &str,
    request: Request,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let runner = Runner::new(worker, device, folder.path(), events);
    runner.run(&RunStep { name: name.to_owned(), request })
}

impl Runner {
    /// Makes a runner. After an interruption, it says that the same command goes on.
    pub(crate) fn new(worker: PathBuf, device: &Devices, folder: &Path, events: Events) -> Self {
        let (device, folder) = (device.clone(), folder.to_owned());
        Self { worker, device, folder, events, resume: "the same command".into() }
    }

    /// Names another command that goes on after an interruption.
    pub(crate) fn resumed_by(self, resume: String) -> Self {
        Self { resume, ..self }
    }

    /// Where a step's request lies in a folder.
    fn request_path(folder: &Path, step: &str) -> PathBuf {
        folder.join("requests").join(format!("{}.json", step.replace(' ', "-")))
    }

    /// Has the worker read the requests of all steps, so that a misspelt field of the last one shows before the
    /// first one starts.
    pub(crate) fn check(&self, steps: &[RunStep]) -> anyhow::Result<()> {
        let requests = steps.iter().map(|s| s.request.clone()).collect();
        let check = Request::Check(CheckRequest { requests });
        let checked = ask(&self.worker, &check, &self.folder.join("requests"));
        checked.map(drop).map_err(|e| match e.downcast::<Failure>() {
            Ok(failure) => failure.into(),
            Err(e) => Failure::Usage(e.to_string()).into(),
        })
    }

    /// Writes a step's request and carries it out.
    pub(crate) fn run(&self, step: &RunStep) -> anyhow::Result<Outcome> {
        let RunStep { name, request } = step;
        let path = Self::request_path(&self.folder, name);
        request.write(&path)?;
        let first = self.device.first();
        let device = if request.trains() { self.device.to_string() } else { first.to_string() };
        let mut worker = command(&self.worker, &path);
        worker.args(["--device", &device]);
        for (name, value) in ALLOCATOR {
            if std::env::var_os(name).is_none() {
                worker.env(name, value);
            }
        }
        let mut progress = Progress::new(name, 100, self.events);
        let mut outcome = None;
        let status = process::run(&mut worker, slam_interrupt::flag(), &mut |event| {
            progress.event(&event);
            match event {
                Event::Finished(what) => outcome = Some(what),
                Event::Unit { prompt, unit } => {
                    crate::out::say!("{}", serde_json::json!({"prompt": prompt, "unit": unit}));
                }
                _ => {}
            }
        })?;
        if status.code() == Some(slam_interrupt::EXIT_CODE.into())
            || slam_interrupt::flag().load(Ordering::Relaxed)
        {
            return Err(Failure::Interrupted(format!(
                "interrupted during {name}; what was finished is kept, go on with: {}",
                self.resume
            ))
            .into());
        }
        if !status.success() {
            let said = format!("{name} failed ({status}); the worker's message is above");
            if request.trains() {
                let resume = &self.resume;
                bail!(
                    "{said}; what was saved is kept: when its cause is mended, go on with: {resume}"
                );
            }
            bail!("{said}");
        }
        let outcome =
            outcome.with_context(|| format!("{} ended without a result", self.worker.display()))?;
        match &outcome {
            Outcome::Made(sentence) => progress.finish(sentence),
            Outcome::UpToDate | Outcome::Table(_) => drop(progress.close()),
        }
        Ok(outcome)
    }
}

fn command(worker: &Path, request: &Path) -> Command {
    let mut command = Command::new(worker);
    command.args(["worker", "--request"]).arg(request);
    command
}

/// Asks the worker something that is answered at once; `folder` keeps the request. What it says on stderr becomes
/// the error.
pub(crate) fn ask(worker: &Path, request: &Request, folder: &Path) -> anyhow::Result<Vec<Event>> {
    let path = folder.join(format!("{}.json", request.name()));
    request.write(&path)?;
    let output = command(worker, &path)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", worker.display()))?;
    if output.status.code() == Some(slam_interrupt::EXIT_CODE.into()) {
        return Err(Failure::Interrupted("interrupted; the same command goes on".into()).into());
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    Ok(process::events(worker, &output.stdout)?)
}
