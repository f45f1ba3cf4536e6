use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::protocol::{Answer, Candidate, Scorer, ScorerError, parse};

/// A command that runs for a whole shard, because the models behind it take long to load.
pub struct CommandScorer {
    command: String,
    timeout: Duration,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl CommandScorer {
    /// Starts the command with `sh -c`. The user sees what the command writes to standard error.
    ///
    /// # Errors
    /// Fails if there is no shell.
    pub fn start(command: &str, timeout: Duration) -> Result<Self, ScorerError> {
        let broken =
            |message: String| ScorerError::Broken { what: format!("'{command}'"), message };
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| broken(format!("cannot be started: {e}")))?;
        let (stdin, Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("has no pipes".into()));
        };
        let (lines, answers) = mpsc::sync_channel(16);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { command: command.to_owned(), timeout, child, stdin, answers })
    }

    fn broken(&mut self, message: &str) -> ScorerError {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => format!(" ({status})"),
            _ => String::new(),
        };
        ScorerError::Broken {
            what: format!("'{}'", self.command),
            message: format!("{message}{status}"),
        }
    }
}

impl Scorer for CommandScorer {
    fn score(&mut self, candidate: &Candidate<'_>) -> Result<Answer, ScorerError> {
        let request = serde_json::to_string(candidate).unwrap_or_default();
        let sent = match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{request}").and_then(|()| stdin.flush()),
            None => Ok(()),
        };
        if sent.is_err() {
            // Wait a moment, so that the exit status is available.
            thread::sleep(Duration::from_millis(50));
            return Err(self.broken("takes no more requests"));
        }
        match self.answers.recv_timeout(self.timeout) {
            Ok(line) => parse(&line),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.broken(&format!("gave no answer in {} s", self.timeout.as_secs_f64())))
            }
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(Duration::from_millis(50));
                Err(self.broken("ended before it answered"))
            }
        }
    }
}

impl Drop for CommandScorer {
    fn drop(&mut self) {
        // Closing its input asks the process to exit. If it does not exit in time, kill it.
        drop(self.stdin.take());
        for _ in 0..20 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn candidate(continuation: &[u16]) -> Candidate<'_> {
        Candidate {
            id: "a",
            sample: 0,
            prompt: &[1],
            continuation,
            prompt_text: None,
            tokeniser: "t",
            units_per_second: 25.0,
        }
    }

    fn start(command: &str) -> CommandScorer {
        CommandScorer::start(command, Duration::from_millis(400)).unwrap()
    }

    #[test]
    fn one_process_scores_many() {
        let mut scorer = start("n=0; while read -r line; do n=$((n+1)); echo $n; done");
        let scores = [0; 3].map(|_| scorer.score(&candidate(&[2])).unwrap().score);
        assert_eq!(scores, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_wrong_answer_is_the_rows_fault_and_silence_the_scorers() {
        let error = start("read x; echo oh").score(&candidate(&[2])).unwrap_err();
        assert!(matches!(&error, ScorerError::Answer(m) if m.contains("'oh'")), "{error}");
        for (command, says) in [("exit 3", "3"), ("sleep 5", "no answer in 0.4 s")] {
            let error = start(command).score(&candidate(&[2])).unwrap_err();
            assert!(matches!(error, ScorerError::Broken { .. }), "{error}");
            assert!(error.to_string().contains(says), "{command}: {error}");
        }
    }
}
