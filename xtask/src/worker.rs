//! The worker program: which one to use, and how to build it for this machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use slam_pipeline::Pipeline;
use slam_pipeline::file::Dataset;

use crate::doctor::cuda::Machine;

/// A ready worker, so that a cluster node needs no toolchain.
const WORKER: &str = "SLAM_WORKER";
/// A ready text-to-speech program of the demo.
const SPEAK: &str = "SLAM_SPEAK";

/// The worker's package.
pub(crate) const PACKAGE: &str = "slam-worker";

/// Features of the worker beside those that the machine needs, e.g. `cuda,wgpu`: one build for all.
pub(crate) const FEATURES: &str = "SLAM_FEATURES";

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    // Cargo sets the variable for `cargo xtask`; a copied binary falls back to where it is run.
    env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .and_then(|p| p.parent().map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("."))
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from)
        .join("release")
}

/// Cargo features of the worker that this machine, or the asked devices, need: `cuda` where an NVIDIA driver
/// answers, `wgpu` by name; and those that `SLAM_FEATURES` adds.
pub(crate) fn features(devices: &str) -> Vec<String> {
    let extra = env::var(FEATURES).unwrap_or_default();
    features_of(devices, Machine::this().has_nvidia(), &extra)
}

fn features_of(devices: &str, nvidia: bool, extra: &str) -> Vec<String> {
    let asks = |kind: &str| devices.split(',').any(|d| d.trim().split(':').next() == Some(kind));
    let mut features: Vec<String> =
        extra.split(',').map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect();
    if asks("cuda") || (asks("auto") && nvidia) {
        features.push("cuda".into());
    }
    if asks("wgpu") {
        features.push("wgpu".into());
    }
    features.sort();
    features.dedup();
    features
}

/// Takes away what `cargo run` tells its program of the package: build scripts that watch these variables
/// (ring's does) would run again, and all above them be compiled again.
pub(crate) fn outside_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

fn build(package: &str, features: &[String]) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    outside_cargo(&mut command)
        .current_dir(workspace())
        .args(["build", "--release", "--quiet", "--package", package])
        .stdin(Stdio::null());
    if !features.is_empty() {
        command.arg("--features").arg(features.join(","));
        eprintln!(
            "building {package} with {} (a quarter of an hour on two cores the first time)",
            features.join(", ")
        );
    }
    let status = command.status().context("failed to run cargo; is a Rust toolchain installed?")?;
    if !status.success() {
        bail!("failed to build {package}; the compiler's messages are above");
    }
    Ok(())
}

fn ready(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
    if !path.is_file() {
        bail!("{variable} names {}, which is no file; unset it to build one", path.display());
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
    /// Builds what a pipeline needs on a device, unless `SLAM_WORKER` and `SLAM_SPEAK` name ready programs.
    pub(crate) fn for_pipeline(pipeline: &Pipeline, device: &str) -> anyhow::Result<Self> {
        // Kinds of text whose engine is the project's own where none is named.
        let speaks = |d: &Dataset| {
            let kind = d.source["kind"].as_str().unwrap_or_default();
            ["grammar", "tts", "swag", "hella-swag"].contains(&kind) && d.source["engine"].is_null()
        };
        let speak = pipeline.datasets.iter().any(speaks).then(slam_speak).transpose()?;
        Ok(Self { slam: slam(device)?, speak })
    }

    /// The worker for steps that make no speech.
    pub(crate) fn worker_alone(device: &str) -> anyhow::Result<Self> {
        Ok(Self { slam: slam(device)?, speak: None })
    }

    /// Environment of the worker.
    pub(crate) fn environment(&self) -> Vec<(String, OsString)> {
        self.speak.iter().map(|p| (SPEAK.to_owned(), p.clone().into_os_string())).collect()
    }
}

/// The worker `slam`, built for a device unless `SLAM_WORKER` names one.
fn slam(device: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = ready(WORKER)? {
        return Ok(path);
    }
    build(PACKAGE, &features(device))?;
    Ok(target().join("slam"))
}

/// The demo's text-to-speech program, a program of its own licence.
fn slam_speak() -> anyhow::Result<PathBuf> {
    if let Some(path) = ready(SPEAK)? {
        return Ok(path);
    }
    build("slam-speak", &[])?;
    Ok(target().join("slam-speak"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_gets_the_features_that_the_devices_need() {
        assert!(features_of("auto", false, "").is_empty());
        assert_eq!(features_of("auto", true, ""), ["cuda"]);
        assert!(features_of("cpu", true, "").is_empty());
        assert_eq!(features_of("cuda:0,cuda:1", false, ""), ["cuda"]);
        assert_eq!(features_of("wgpu:1", false, "cuda, wgpu"), ["cuda", "wgpu"]);
    }
}
