//! What a worker says on its standard output: one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::receipt::Receipt;

/// A line of a worker's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// How far a unit of work, or a run, has come.
    Progress {
        /// What is worked on, e.g. `pretrain`.
        task: String,
        /// How much is done.
        done: f64,
        /// Of how much; 0 where unknown.
        total: f64,
        /// What is counted.
        unit: String,
        /// Figures for people, e.g. `loss 3.21, 5.1 k tokens/s`.
        #[serde(default)]
        message: String,
    },
    /// A unit of work is published.
    Done {
        /// Its position in the work list.
        index: usize,
        /// Its receipt.
        receipt: Box<Receipt>,
    },
    /// A unit of work failed.
    Failed {
        /// Its position in the work list.
        index: usize,
        /// Why, with the remedy.
        message: String,
    },
    /// Something that a person should know while the work goes on: a plan, a warning.
    Note {
        /// The text.
        text: String,
    },
    /// A prompt is continued by one unit.
    Unit {
        /// The prompt's position in the request.
        prompt: usize,
        /// The unit; `None` where the model ends the sequence.
        unit: Option<u16>,
    },
    /// The result of a command, for people: a table or a sentence.
    Result {
        /// The text.
        text: String,
    },
}

impl Event {
    /// Prints the event as one line, at once.
    pub fn print(&self) {
        use std::io::Write;
        if let Ok(line) = serde_json::to_string(self) {
            let mut out = std::io::stdout().lock();
            // Nobody may be listening any more; the work itself must not end for that.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    }
}
