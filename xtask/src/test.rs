//! `cargo xtask test`: the README's test command.

use std::env;
use std::process::Command;

use anyhow::{Context, bail};

use crate::worker;

/// All tests of the workspace, in the profile the programs are built in.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for `cargo test`, e.g. `-p slam-lm` or `-- name`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(worker::workspace()).args(["test", "--release"]);
    let packages = ["-p", "--package", "--workspace"];
    if !arguments.arguments.iter().any(|a| packages.contains(&a.as_str())) {
        command.arg("--workspace");
    }
    let status = command.args(&arguments.arguments).status().context("failed to run cargo")?;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}
