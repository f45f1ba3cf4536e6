//! Speech engines: the project's own program, any command, or a server with OpenAI's speech API.

mod error;
mod openai;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use slam_recipe::source::Engine;

pub use error::{SpeechError, TTS_COMMAND};

use error::MAX_WAV_BYTES;

/// This length announces a message instead of a WAV file.
const FAILED: u32 = u32::MAX;
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
                if matches!(result, Err(SpeechError::BrokeOff { .. } | SpeechError::TooLong { .. }))
                {
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
    let broken = |source| SpeechError::BrokeOff { program: program.to_owned(), source };
    writeln!(process.stdin, "{request}").and_then(|()| process.stdin.flush()).map_err(broken)?;
    let length = process.number().map_err(broken)?;
    if length == FAILED {
        let length = process.number().map_err(broken)?;
        let message = process.bytes(length.min(1 << 16)).map_err(broken)?;
        return Err(SpeechError::Text(String::from_utf8_lossy(&message).into_owned()));
    }
    if length > MAX_WAV_BYTES {
        return Err(SpeechError::TooLong { program: program.to_owned(), bytes: length });
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
