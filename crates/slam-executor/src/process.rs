//! Worker processes: starts one, passes on what it says, asks it to stop.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use slam_recipe::{Event, wire};

/// A worker process that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started, or not be waited for.
    #[error("failed to start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It speaks another version of the wire format, or is no worker at all.
    #[error(
        "{program} speaks {found} of the wire format, this program speaks version {ours}: they are of different \
         builds; build both from one source, or unset SLAM_WORKER",
        ours = wire::VERSION
    )]
    Version {
        /// The program.
        program: PathBuf,
        /// What it speaks, in words.
        found: String,
    },
}

/// Runs a worker to its end. When `cancel` is set the worker is asked to stop, once, and still waited for:
/// it finishes or drops what it does and leaves no half file.
///
/// # Errors
/// If the program cannot be started, or is a worker of another version.
pub fn run(
    command: &mut Command,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(Event),
) -> Result<ExitStatus, ProcessError> {
    run_until(command, &|| cancel.load(Ordering::Relaxed), on_event)
}

/// As [`run`], asked to stop when `stop` says so.
///
/// # Errors
/// If the program cannot be started, or is a worker of another version.
pub fn run_until(
    command: &mut Command,
    stop: &dyn Fn() -> bool,
    on_event: &mut dyn FnMut(Event),
) -> Result<ExitStatus, ProcessError> {
    let program = PathBuf::from(command.get_program());
    let start = |source| ProcessError::Start { program: program.clone(), source };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(start)?;
    let mut greeting = Greeting::new(&program);
    let mut refused = None;
    if let Some(out) = child.stdout.take() {
        let (lines, said) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut asked_to_stop = false;
        loop {
            match said.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => match greeting.read(&line) {
                    Ok(Some(event)) => on_event(event),
                    Err(e) if refused.is_none() => {
                        refused = Some(e);
                        terminate(&child);
                    }
                    Ok(None) | Err(_) => {}
                },
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if !asked_to_stop && stop() {
                asked_to_stop = true;
                terminate(&child);
            }
        }
        let _ = reader.join();
    }
    let status = child.wait().map_err(start)?;
    refused.map_or(Ok(status), Err)
}

/// What a worker said in all.
///
/// # Errors
/// If the worker is of another version.
pub fn events(program: &Path, said: &[u8]) -> Result<Vec<Event>, ProcessError> {
    let mut greeting = Greeting::new(program);
    let text = String::from_utf8_lossy(said);
    text.lines().filter_map(|line| greeting.read(line).transpose()).collect()
}

/// Whether a worker has said which version it speaks.
struct Greeting<'a> {
    program: &'a Path,
    heard: bool,
}

impl<'a> Greeting<'a> {
    fn new(program: &'a Path) -> Self {
        Self { program, heard: false }
    }

    /// A line as an event; none where the line is the greeting, or no event at all.
    fn read(&mut self, line: &str) -> Result<Option<Event>, ProcessError> {
        let refuse = |found| ProcessError::Version { program: self.program.to_owned(), found };
        match serde_json::from_str(line) {
            Ok(Event::Hello { wire: wire::VERSION }) => {
                self.heard = true;
                Ok(None)
            }
            Ok(Event::Hello { wire }) => Err(refuse(format!("version {wire}"))),
            Ok(_) | Err(_) if !self.heard => Err(refuse("no version".to_owned())),
            Ok(event) => Ok(Some(event)),
            Err(e) => {
                tracing::debug!("{} said '{line}', which is no event: {e}", self.program.display());
                Ok(None)
            }
        }
    }
}

#[cfg(unix)]
fn terminate(child: &Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
}

#[cfg(not(unix))]
fn terminate(_child: &Child) {}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn say(text: &str) -> Result<Vec<Event>, ProcessError> {
        let mut command = Command::new("printf");
        command.arg("%b").arg(text);
        let mut events = Vec::new();
        run(&mut command, &AtomicBool::new(false), &mut |e| events.push(e))?;
        Ok(events)
    }

    #[test]
    fn a_worker_of_another_version_is_refused_before_anything_it_says_is_believed() {
        let note = r#"{"event":"note","text":"x"}\n"#;
        let hello = |wire: u32| format!(r#"{{"event":"hello","wire":{wire}}}\n"#);
        let heard = say(&format!("{}{note}no json\\n", hello(wire::VERSION))).unwrap();
        assert_eq!(heard, [Event::Note { text: "x".into() }]);
        let newer = say(&format!("{}{note}", hello(wire::VERSION + 1))).unwrap_err().to_string();
        assert!(newer.contains("version 2") && newer.contains("SLAM_WORKER"), "{newer}");
        let silent = say(note).unwrap_err().to_string();
        assert!(silent.contains("no version"), "{silent}");
        let missing =
            run(&mut Command::new("/nonesuch/slam"), &AtomicBool::new(false), &mut |_| {});
        assert!(missing.unwrap_err().to_string().contains("/nonesuch/slam"));
    }
}
