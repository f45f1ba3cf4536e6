//! Exit codes: 0 done, 1 failed, 2 bad usage, 3 too many inputs quarantined, 130 interrupted after a clean save.

use std::process::ExitCode;

/// A failure with an exit code of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was used wrongly.
    Usage(String),
    /// More inputs were left out than allowed.
    Quarantined(String),
    /// Interrupted; what was finished is kept.
    Interrupted(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(m) | Self::Quarantined(m) | Self::Interrupted(m) => f.write_str(m),
        }
    }
}

impl std::error::Error for Failure {}

/// The exit code of a command's result; errors go to stderr.
pub fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let code = match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => 2,
        Some(Failure::Quarantined(_)) => 3,
        Some(Failure::Interrupted(_)) => slam_interrupt::EXIT_CODE,
        None => 1,
    };
    crate::out::note!("error: {}", slam_recipe::with_causes(error.as_ref()));
    ExitCode::from(code)
}
