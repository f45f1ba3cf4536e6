//! The programs that carry out a pipeline: which ones to use.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::bail;
use slam_recipe::Pipeline;
use slam_recipe::device::{DeviceSpec, Devices};
use slam_recipe::pipeline::Dataset;
use slam_recipe::source::Engine;

use crate::build::{self, PACKAGE};
use crate::door::Door;

/// A ready worker, so that a cluster node needs no toolchain.
const WORKER: &str = "SLAM_WORKER";
/// A ready text-to-speech program of the demo.
const SPEAK: &str = "SLAM_SPEAK";
/// The package of the text-to-speech program.
const SPEAK_PACKAGE: &str = "slam-speak";

fn ready(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
    if !path.is_file() {
        bail!("{variable} names {}, which is no file; unset it", path.display());
    }
    Ok(Some(path))
}

/// The programs that carry out a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The worker `slam`.
    pub(crate) slam: PathBuf,
    /// The text-to-speech program, where the pipeline needs it.
    pub(crate) speak: Option<PathBuf>,
}

impl Programs {
    /// Finds or builds what a pipeline needs on a device, unless `SLAM_WORKER` and `SLAM_SPEAK` name ready programs.
    pub(crate) fn for_pipeline(pipeline: &Pipeline, device: &Devices) -> anyhow::Result<Self> {
        let speaks = |d: &Dataset| matches!(d.source.engine(), Some(Engine::SlamSpeak));
        let speak = pipeline.datasets.iter().any(speaks).then(slam_speak).transpose()?;
        Ok(Self { slam: slam(device)?, speak })
    }

    /// The worker for steps that make no speech.
    pub(crate) fn worker_alone(device: &Devices) -> anyhow::Result<Self> {
        Ok(Self { slam: slam(device)?, speak: None })
    }

    /// The worker for steps without tensors.
    pub(crate) fn worker_on_cpu() -> anyhow::Result<Self> {
        Self::worker_alone(&Devices::from(DeviceSpec::Cpu))
    }

    /// Environment of the worker.
    pub(crate) fn environment(&self) -> Vec<(String, OsString)> {
        self.speak.iter().map(|p| (SPEAK.to_owned(), p.clone().into_os_string())).collect()
    }
}

/// The worker `slam`: the one that `SLAM_WORKER` names, this very program, or one that is built for a device.
fn slam(device: &Devices) -> anyhow::Result<PathBuf> {
    if let Some(path) = ready(WORKER)? {
        return Ok(path);
    }
    match Door::current() {
        Door::Program(program) => Ok(program.clone()),
        Door::Workspace(_) => {
            let purpose = "the program that decodes, unitises, trains and scores";
            build::build(PACKAGE, purpose, &build::features(device))?;
            Ok(build::target().join(PACKAGE))
        }
    }
}

/// The demo's text-to-speech program, a program of its own licence.
fn slam_speak() -> anyhow::Result<PathBuf> {
    if let Some(path) = ready(SPEAK)? {
        return Ok(path);
    }
    match Door::current() {
        Door::Workspace(_) => {
            build::build(SPEAK_PACKAGE, "the program that speaks the demo's stories", &[])?;
            Ok(build::target().join(SPEAK_PACKAGE))
        }
        Door::Program(program) => {
            let beside = program.parent().map(|folder| folder.join(SPEAK_PACKAGE));
            let path = env::var_os("PATH").unwrap_or_default();
            let in_path = env::split_paths(&path).map(|folder| folder.join(SPEAK_PACKAGE));
            match beside.into_iter().chain(in_path).find(|p| p.is_file()) {
                Some(found) => Ok(found),
                None => bail!(
                    "the pipeline speaks with {SPEAK_PACKAGE}, which is neither beside {} nor in PATH; install it \
                     (cargo install --path crates/slam-speak), name it in {SPEAK}, or name another program with \
                     --tts-command",
                    program.display()
                ),
            }
        }
    }
}
