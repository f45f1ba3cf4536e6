//! `cargo xtask test`: the README's test command.

use std::env;
use std::process::Command;

use anyhow::{Context, bail};

use slam_commands::build;

/// The worker's features that bring a device's code.
const DEVICES: [&str; 2] = ["cuda", "wgpu"];

/// All tests of the workspace, in the profile the programs are built in, with the code of every device.
///
/// CUDA and wgpu compile without a GPU. One build serves the tests and the programs that they drive; the
/// tests themselves run on the CPU, and on wgpu where an adapter (Mesa's lavapipe is one) is there.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Without the code of CUDA and wgpu, which is more than half of the build
    #[arg(long)]
    cpu: bool,
    /// Arguments for `cargo test`, e.g. `-p slam-lm` (then without CUDA and wgpu) or `-- name`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    build::outside_cargo(&mut command).current_dir(build::workspace()).args(["test", "--release"]);
    let packages = ["-p", "--package", "--workspace"];
    if !arguments.arguments.iter().any(|a| packages.contains(&a.as_str())) {
        command.arg("--workspace");
        if !arguments.cpu {
            command.args(["--features", &DEVICES.map(|d| format!("slam/{d}")).join(",")]);
            // The programs that tests drive are then the same build.
            command.env(build::FEATURES, DEVICES.join(","));
        }
    }
    let status = command.args(&arguments.arguments).status().context("failed to run cargo")?;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}
