//! Exit codes of the worker: 0 done, 1 failed, 2 bad usage, 130 interrupted after a clean save.

use std::process::ExitCode;

/// The process was asked to stop and did so cleanly.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; what was finished is kept")
    }
}

impl std::error::Error for Interrupted {}

/// The failure has been told as an event; whoever started the process says it to people.
#[derive(Debug)]
pub(crate) struct Told;

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a unit of work failed")
    }
}

impl std::error::Error for Told {}

/// The exit code of a result; errors go to stderr.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Told>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", slam_recipe::with_causes(error.as_ref()));
            ExitCode::from(if error.is::<Interrupted>() { slam_interrupt::EXIT_CODE } else { 1 })
        }
    }
}
