//! Worker processes: starts one, passes on what it says, asks it to stop.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use slam_dataset::Event;

/// Runs a worker to its end. When `cancel` is set the worker is asked to stop, once, and still waited for:
/// it finishes or drops what it does and leaves no half file.
///
/// # Errors
/// If the program cannot be started.
pub fn run(
    command: &mut Command,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(Event),
) -> io::Result<ExitStatus> {
    run_until(command, &|| cancel.load(Ordering::Relaxed), on_event)
}

/// As [`run`], asked to stop when `stop` says so.
///
/// # Errors
/// If the program cannot be started.
pub fn run_until(
    command: &mut Command,
    stop: &dyn Fn() -> bool,
    on_event: &mut dyn FnMut(Event),
) -> io::Result<ExitStatus> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    if let Some(out) = child.stdout.take() {
        let (lines, said) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut told = false;
        loop {
            match said.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Ok(event) = serde_json::from_str::<Event>(&line) {
                        on_event(event);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if !told && stop() {
                told = true;
                terminate(&child);
            }
        }
        let _ = reader.join();
    }
    child.wait()
}

#[cfg(unix)]
fn terminate(child: &Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
}

#[cfg(not(unix))]
fn terminate(_child: &Child) {}
