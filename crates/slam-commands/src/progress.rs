//! Progress on stderr: a bar on a terminal, a line a minute elsewhere, JSON lines with `--json`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use slam_recipe::Event;

/// A task whose state fits behind its bar.
const SHORT: &str = "{prefix:24} {bar:28} {pos}/{len} {elapsed} ETA {eta} {msg}";
/// A task with more to say, e.g. training: a line of its own, cut at the terminal's edge.
const LONG: &str = "{prefix:24} {bar:28} {pos}/{len} {elapsed} ETA {eta}\n  {wide_msg}";
/// The longest message that goes behind the bar.
const LONGEST: usize = 24;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_mins(1);

/// How the events of workers are shown on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// As a bar or as lines for people.
    Shown,
    /// As JSON lines for programs.
    JsonLines,
}

/// Shows how far one task is.
pub(crate) struct Progress {
    task: String,
    bar: Option<ProgressBar>,
    events: Events,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts a task of `total` steps (0 where unknown).
    pub(crate) fn new(task: &str, total: u64, events: Events) -> Self {
        let people = events == Events::Shown && std::io::stderr().is_terminal();
        let bar = people.then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(SHORT) {
                bar.set_style(style);
            }
            bar.set_prefix(task.to_owned());
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        Self { task: task.to_owned(), bar, events, started: now, last_line: now }
    }

    /// Shows a worker's event.
    pub(crate) fn event(&mut self, event: &Event) {
        if self.events == Events::JsonLines {
            if let Ok(line) = serde_json::to_string(event) {
                crate::out::note!("{line}");
            }
        } else {
            match event {
                Event::Progress { done, total, unit, message, .. } => {
                    self.set(*done, *total, unit, message);
                }
                Event::Note { text } => match &self.bar {
                    Some(bar) => bar.suspend(|| crate::out::note!("{text}")),
                    None => crate::out::note!("{text}"),
                },
                _ => {}
            }
        }
    }

    /// Shows how far the task is.
    pub(crate) fn set(&mut self, done: f64, total: f64, unit: &str, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(0.0) as u64);
            bar.set_position(done.max(0.0) as u64);
            if message.len() > LONGEST
                && bar.message().len() <= LONGEST
                && let Ok(style) = ProgressStyle::with_template(LONG)
            {
                bar.set_style(style);
            }
            bar.set_message(message.to_owned());
        } else if self.events == Events::Shown && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            let eta = if done > 0.0 && total > done {
                format!(", about {:.0} s left", seconds as f64 * (total - done) / done)
            } else {
                String::new()
            };
            crate::out::note!(
                "{}: {done:.0}/{total:.0} {unit} after {seconds} s{eta} {message}",
                self.task
            );
        }
    }

    /// Ends the task with a sentence about what came of it.
    pub(crate) fn finish(self, sentence: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let task = self.task.clone();
        if self.close() {
            crate::out::note!("{task:26} {sentence} ({seconds:.1} s)");
        }
    }

    /// Ends the task without a word; returns whether people are to be spoken to.
    pub(crate) fn close(self) -> bool {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.events == Events::Shown
    }
}
