//! Builds the programs of a clone with cargo.

use std::env;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use slam_recipe::device::{DeviceSpec, Devices};

use crate::doctor::cuda::Machine;

/// The package of the program `slam`.
pub const PACKAGE: &str = "slam";

/// The variable that names features of the worker beside those that the machine needs, e.g. `cuda,wgpu`: one build
/// for all.
pub const FEATURES: &str = "SLAM_FEATURES";

/// How the allocator of a worker that trains is set, unless the environment says otherwise: blocks are kept
/// and large ones use huge pages. Without it every step pages its activations in anew (see
/// `docs/benchmarks.md`).
pub const ALLOCATOR: [(&str, &str); 2] =
    [("MIMALLOC_PURGE_DELAY", "-1"), ("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1")];

/// The folder of the clone.
pub fn workspace() -> PathBuf {
    // Cargo sets the variable for `cargo xtask` and for tests; a copied binary falls back to where it is run.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = |package: PathBuf| {
        package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).map(Path::to_owned)
    };
    package.and_then(root).unwrap_or_else(|| PathBuf::from("."))
}

/// Where cargo puts the programs.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from)
        .join("release")
}

/// Cargo features of the worker that this machine, or the asked devices, need: `cuda` where an NVIDIA driver
/// answers, `wgpu` by name; and those that `SLAM_FEATURES` adds.
pub fn features(devices: &Devices) -> Vec<String> {
    let extra = env::var(FEATURES).unwrap_or_default();
    features_of(devices, Machine::this().has_nvidia(), &extra)
}

fn features_of(devices: &Devices, nvidia: bool, extra: &str) -> Vec<String> {
    let asks = |kind: fn(&DeviceSpec) -> bool| devices.all().any(|device| kind(&device));
    let mut features: Vec<String> =
        extra.split(',').map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect();
    if asks(|d| matches!(d, DeviceSpec::Cuda(_)))
        || (asks(|d| matches!(d, DeviceSpec::Auto)) && nvidia)
    {
        features.push("cuda".into());
    }
    if asks(|d| matches!(d, DeviceSpec::Wgpu(_))) {
        features.push("wgpu".into());
    }
    features.sort();
    features.dedup();
    features
}

/// Takes away what `cargo run` tells its program of the package: build scripts that watch these variables
/// (ring's does) would run again, and all above them be compiled again.
pub fn outside_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Builds a program. Cargo's own progress shows how far it is.
pub(crate) fn build(package: &str, purpose: &str, features: &[String]) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    outside_cargo(&mut command)
        .current_dir(workspace())
        .args(["build", "--release", "--package", package])
        .stdin(Stdio::null());
    if !features.is_empty() {
        command.arg("--features").arg(features.join(","));
    }
    if !target().join(package).is_file() {
        let with = if features.is_empty() {
            "for the CPU".to_owned()
        } else {
            format!("with {}", features.join(", "))
        };
        crate::out::note!(
            "building {package} {with}: {purpose}. The first build compiles all dependencies, which takes some \
             minutes; later ones take seconds"
        );
    } else if !std::io::stderr().is_terminal() {
        // In a log, cargo's word that all is built would stand before everything else.
        command.arg("--quiet");
    }
    let status = command.status().context("failed to run cargo; is a Rust toolchain installed?")?;
    if !status.success() {
        bail!("failed to build {package}; the compiler's messages are above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_worker_gets_the_features_that_the_devices_need() {
        let features = |devices: &str, nvidia, extra: &str| {
            features_of(&devices.parse().unwrap(), nvidia, extra)
        };
        assert!(features("auto", false, "").is_empty());
        assert_eq!(features("auto", true, ""), ["cuda"]);
        assert!(features("cpu", true, "").is_empty());
        assert_eq!(features("cuda:0,cuda:1", false, ""), ["cuda"]);
        assert_eq!(features("wgpu:1", false, "cuda, wgpu"), ["cuda", "wgpu"]);
    }
}
