//! What a worker says on its standard output: one JSON object a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hash::Key;
use crate::receipt::Receipt;

/// A line of a worker's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line: which version of the wire format follows.
    Hello {
        /// [`wire::VERSION`](crate::wire::VERSION) of the worker.
        wire: u32,
    },
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
    /// What is said of an object of a store.
    Stored {
        /// The object, relative to the store's folder.
        path: PathBuf,
        /// The hash of its content; `None` where it was not asked for, or there is no such object.
        blake3: Option<Key>,
    },
    /// A shard's shape.
    Shape(Shape),
    /// A row of a shard, by its columns.
    Row(Map<String, Value>),
    /// The end of a request: what came of it.
    Finished(Outcome),
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "text", rename_all = "snake_case")]
pub enum Outcome {
    /// There was nothing to do.
    UpToDate,
    /// Something was made: a sentence for people.
    Made(String),
    /// A table, or JSON, that is the result itself.
    Table(String),
}

/// A shard's shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows in the file.
    pub num_rows: u64,
    /// Rows and bytes of each row group.
    pub row_groups: Vec<(u64, u64)>,
    /// Its columns with their types.
    pub columns: Vec<(String, String)>,
    /// The file's key-value metadata.
    pub metadata: Map<String, Value>,
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
