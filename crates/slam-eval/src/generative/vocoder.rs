//! Turns units into sound. The project has no vocoder of its own yet: any command can be one.

use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::json;

/// Turns units into sound.
pub trait Vocoder {
    /// Returns a WAV file of the units.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    fn speak(&self, units: &[u16]) -> Result<Vec<u8>, VocoderError>;
}

/// The reasons why a vocoder gives no sound.
#[derive(Debug, thiserror::Error)]
pub enum VocoderError {
    /// The command cannot be started.
    #[error("failed to start the vocoder '{command}': {source}")]
    Start {
        /// The command.
        command: String,
        /// Why it cannot be started.
        source: io::Error,
    },
    /// The command failed.
    #[error(
        "the vocoder '{command}' ended with {status}: {errors}; it is given {{\"units\": […]}} on standard input and \
         must write a WAV file to standard output"
    )]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        errors: String,
    },
    /// The command wrote something else than a WAV file.
    #[error(
        "the vocoder '{command}' wrote {bytes} bytes that are no WAV file; it is given {{\"units\": […]}} on standard \
         input and must write a WAV file to standard output"
    )]
    NoWav {
        /// The command.
        command: String,
        /// The number of bytes on standard output.
        bytes: usize,
    },
}

/// A command that `sh -c` runs once per sample: `{"units": […]}` on standard input, a WAV file on standard
/// output.
#[derive(Clone, Debug)]
pub struct CommandVocoder {
    command: String,
}

impl CommandVocoder {
    /// Makes a vocoder from a command.
    pub fn new(command: &str) -> Self {
        Self { command: command.to_owned() }
    }
}

impl Vocoder for CommandVocoder {
    fn speak(&self, units: &[u16]) -> Result<Vec<u8>, VocoderError> {
        let command = self.command.clone();
        let start = |source| VocoderError::Start { command: command.clone(), source };
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input may close it early. Only its output decides.
            let _ = writeln!(stdin, "{}", json!({"units": units}));
        }
        let out = child.wait_with_output().map_err(start)?;
        if !out.status.success() {
            let errors = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            return Err(VocoderError::Failed { command, status: out.status, errors });
        }
        if !out.stdout.starts_with(b"RIFF") {
            return Err(VocoderError::NoWav { command, bytes: out.stdout.len() });
        }
        Ok(out.stdout)
    }
}
