//! Programs that speak.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Engine;

/// The environment variable that names the program `slam-speak`.
pub const TTS_COMMAND: &str = "SLAM_SPEAK";
/// The length that announces a message in place of a WAV file.
const FAILED: u32 = u32::MAX;
/// No utterance's WAV file is longer (about 25 minutes).
const MAX_WAV_BYTES: u32 = 64 << 20;

/// A speech program that does not speak.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// It cannot be started.
    #[error(
        "failed to start the speech program '{program}': {source}; set {TTS_COMMAND} to the program slam-speak, \
         or name another with --tts-command"
    )]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended, or broke the protocol.
    #[error("the speech program '{program}' failed: {message}")]
    Failed {
        /// The program.
        program: String,
        /// What happened.
        message: String,
    },
    /// It does not speak this text.
    #[error("the speech program does not speak this text: {0}")]
    Text(String),
}

/// A speech program, started when first used and kept for all lines of a shard.
pub struct Speaker {
    engine: Engine,
    voice: String,
    rate_wpm: Option<u32>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Speaker {
    /// A speaker that is not yet started.
    pub fn new(engine: Engine, voice: &str, rate_wpm: Option<u32>) -> Self {
        Self { engine, voice: voice.to_owned(), rate_wpm, process: None }
    }

    /// A WAV file of a text.
    ///
    /// # Errors
    /// If the program cannot be started, ends, or refuses the text.
    pub fn speak(&mut self, text: &str) -> Result<Vec<u8>, SpeechError> {
        match &self.engine {
            Engine::Command(command) => run_command(command, text),
            Engine::SlamSpeak => {
                let program = slam_speak();
                let result = self.ask(&program, text);
                if matches!(result, Err(SpeechError::Failed { .. })) {
                    // A broken conversation is not continued; the next line starts a new process.
                    self.process = None;
                }
                result
            }
        }
    }

    fn ask(&mut self, program: &str, text: &str) -> Result<Vec<u8>, SpeechError> {
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(Process::start(program)?),
        };
        let request = serde_json::json!({
            "text": text, "voice": self.voice, "rate_wpm": self.rate_wpm,
        });
        let broken = |e: io::Error| SpeechError::Failed {
            program: program.to_owned(),
            message: format!("it broke off ({e})"),
        };
        writeln!(process.stdin, "{request}")
            .and_then(|()| process.stdin.flush())
            .map_err(broken)?;
        let length = process.number().map_err(broken)?;
        if length == FAILED {
            let length = process.number().map_err(broken)?;
            let message = process.bytes(length.min(1 << 16)).map_err(broken)?;
            return Err(SpeechError::Text(String::from_utf8_lossy(&message).into_owned()));
        }
        if length > MAX_WAV_BYTES {
            return Err(SpeechError::Failed {
                program: program.to_owned(),
                message: format!("it announces {length} bytes for one utterance"),
            });
        }
        process.bytes(length).map_err(broken)
    }
}

fn slam_speak() -> String {
    env::var(TTS_COMMAND).unwrap_or_else(|_| "slam-speak".to_owned())
}

fn run_command(command: &str, text: &str) -> Result<Vec<u8>, SpeechError> {
    let start = |source| SpeechError::Start { program: command.to_owned(), source };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input may close it early; its answer decides.
        let _ = writeln!(stdin, "{text}");
    }
    let out = child.wait_with_output().map_err(start)?;
    if !out.status.success() || out.stdout.is_empty() {
        return Err(SpeechError::Failed {
            program: command.to_owned(),
            message: format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim()),
        });
    }
    Ok(out.stdout)
}

impl Process {
    fn start(program: &str) -> Result<Self, SpeechError> {
        let start = |source| SpeechError::Start { program: program.to_owned(), source };
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(start)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self { child, stdin, stdout }),
            _ => Err(start(io::Error::other("it has no pipes"))),
        }
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.stdout.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn bytes(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.stdout.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_command_can_speak_and_a_silent_one_is_an_error() {
        let mut speaker = Speaker::new(Engine::Command("cat".into()), "en", None);
        assert_eq!(speaker.speak("hello").unwrap(), b"hello\n");
        let mut speaker =
            Speaker::new(Engine::Command("echo no voice >&2; exit 3".into()), "en", None);
        let error = speaker.speak("hello").unwrap_err().to_string();
        assert!(error.contains("no voice"), "{error}");
    }
}
