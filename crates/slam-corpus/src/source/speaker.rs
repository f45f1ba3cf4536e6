//! Speech engines: the project's own program, any command, or a server with OpenAI's speech API.

mod openai;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use slam_recipe::source::Engine;

/// The environment variable that names the program `slam-speak`.
pub const TTS_COMMAND: &str = "SLAM_SPEAK";
/// This length announces a message instead of a WAV file.
const FAILED: u32 = u32::MAX;
/// The longest WAV file of an utterance, in bytes (about 25 minutes).
const MAX_WAV_BYTES: u32 = 64 << 20;

/// A speech program or server that does not speak.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The program cannot be started.
    #[error(
        "failed to start the speech program '{program}': {source}; set {TTS_COMMAND} to the program slam-speak, \
         or name another with --tts-command"
    )]
    Start {
        /// The program.
        program: String,
        /// Why it cannot be started.
        source: io::Error,
    },
    /// The program ended, or broke the protocol.
    #[error("the speech program '{program}' failed: {message}")]
    Failed {
        /// The program.
        program: String,
        /// What happened.
        message: String,
    },
    /// The server does not answer, or refuses all requests.
    #[error("the speech server {url}: {message}")]
    Server {
        /// The address that was asked.
        url: String,
        /// What happened, and what to do.
        message: String,
    },
    /// The engine cannot speak this text.
    #[error("the text cannot be spoken: {0}")]
    Text(String),
}

impl SpeechError {
    /// Returns whether every other text would fail too.
    pub fn concerns_all(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}

/// A running engine. The project's own program is started when it is first used, and kept for all lines of
/// a shard.
pub struct Speaker {
    engine: Engine,
    rate_wpm: Option<u32>,
    process: Mutex<Option<Process>>,
    agent: ureq::Agent,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Speaker {
    /// Makes a speaker. It does not start the engine yet.
    pub fn new(engine: Engine, rate_wpm: Option<u32>) -> Self {
        Self { engine, rate_wpm, process: Mutex::new(None), agent: openai::agent() }
    }

    /// Returns an audio file of a text.
    ///
    /// # Errors
    /// Fails if the program cannot be started, ends, or refuses the text. The same holds for a server.
    pub fn speak(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        match &self.engine {
            Engine::Command(command) => run_command(command, text, voice),
            Engine::OpenAi(server) => openai::speak(server, &self.agent, text, voice),
            Engine::SlamSpeak => {
                let program = env::var(TTS_COMMAND).unwrap_or_else(|_| "slam-speak".to_owned());
                let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
                let request =
                    serde_json::json!({"text": text, "voice": voice, "rate_wpm": self.rate_wpm});
                let result = ask(&mut process, &program, &request.to_string());
                if matches!(result, Err(SpeechError::Failed { .. })) {
                    // After a broken conversation, the next line starts a new process.
                    *process = None;
                }
                result
            }
        }
    }
}

fn ask(
    process: &mut Option<Process>,
    program: &str,
    request: &str,
) -> Result<Vec<u8>, SpeechError> {
    let process = match process {
        Some(process) => process,
        none => none.insert(Process::start(program)?),
    };
    let broken = |e: io::Error| SpeechError::Failed {
        program: program.to_owned(),
        message: format!("it broke off ({e})"),
    };
    writeln!(process.stdin, "{request}").and_then(|()| process.stdin.flush()).map_err(broken)?;
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

/// Quotes a text as one word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn run_command(template: &str, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
    let start = |source| SpeechError::Start { program: template.to_owned(), source };
    let folder = template.contains("{out}").then(tempfile::tempdir).transpose().map_err(start)?;
    let file = folder.as_ref().map(|folder| folder.path().join("speech.wav"));
    // Replace in one pass, so that a brace in a text is not taken for a placeholder.
    let mut command = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        command.push_str(&rest[..at]);
        rest = &rest[at..];
        let word = |name: &str| rest.starts_with(name).then_some(name.len());
        let (value, length) = match (word("{text}"), word("{voice}"), word("{out}"), &file) {
            (Some(n), ..) => (quoted(text), n),
            (_, Some(n), ..) => (quoted(voice), n),
            (_, _, Some(n), Some(file)) => (quoted(&file.to_string_lossy()), n),
            _ => ("{".to_owned(), 1),
        };
        command.push_str(&value);
        rest = &rest[length..];
    }
    command.push_str(rest);
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input may close it early. Only its output decides.
        let _ = writeln!(stdin, "{text}");
    }
    let out = child.wait_with_output().map_err(start)?;
    let stderr = String::from_utf8_lossy(&out.stderr);
    let message = format!("'{template}': {}: {}", out.status, stderr.trim());
    match out.status.code() {
        // These are the shell's codes: no such program, or a program that cannot be run.
        Some(126 | 127) => Err(start(io::Error::new(io::ErrorKind::NotFound, message))),
        Some(0) => {
            let audio = match &file {
                Some(file) => fs::read(file).map_err(|e| {
                    SpeechError::Text(format!("'{template}' wrote no file {{out}}: {e}"))
                })?,
                None => out.stdout,
            };
            if audio.is_empty() { Err(SpeechError::Text(message)) } else { Ok(audio) }
        }
        _ => Err(SpeechError::Text(message)),
    }
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
mod tests;
