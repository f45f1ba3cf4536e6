//! Units of work: one shard to make, and lists of such units as a file that any executor hands to workers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::{Key, canonical_json};
use crate::name::ShardName;
use crate::params::Work;
use crate::publish::{self, PublishError};
use crate::stage::Stage;
use crate::wire::{self, Sealed, WireError};

/// One input of a unit of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The file, relative to the data root unless absolute.
    pub path: PathBuf,
    /// Its content's key: a shard's work key, or the hash of a source file.
    pub key: Key,
}

/// One shard to make: everything a worker needs to know, and all that the result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkUnit {
    /// The stage with its parameters for this shard.
    #[serde(flatten)]
    pub work: Work,
    /// The stage's version; another version is another result.
    pub version: u32,
    /// Which shard.
    pub shard: ShardName,
    /// What it reads, in an order that is part of the key.
    pub inputs: Vec<Input>,
    /// The file to write, relative to the data root.
    pub output: PathBuf,
    /// `blake3(stage, version, canonical parameters, input keys)`.
    pub key: Key,
}

impl WorkUnit {
    /// A unit with its key computed.
    pub fn new(work: Work, shard: ShardName, inputs: Vec<Input>, output: PathBuf) -> Self {
        let (stage, version) = (work.stage(), work.stage().version());
        let params = params_value(&work);
        let key = Key::of_work(stage.name(), version, &params, inputs.iter().map(|i| &i.key));
        Self { work, version, shard, inputs, output, key }
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        self.work.stage()
    }

    /// A digest of the parameters alone.
    pub fn params_digest(&self) -> Key {
        Key::of_bytes(canonical_json(&params_value(&self.work)).as_bytes())
    }

    /// A digest of the inputs' keys alone.
    pub fn inputs_digest(&self) -> Key {
        Key::of_work("inputs", 0, &Value::Null, self.inputs.iter().map(|i| &i.key))
    }

    /// This unit's output as the input of another.
    pub fn as_input(&self) -> Input {
        Input { path: self.output.clone(), key: self.key.clone() }
    }
}

/// The parameters as a value, which is what a key is made of.
fn params_value(work: &Work) -> Value {
    // Types of this crate are always JSON: no map has keys that are no text.
    serde_json::to_value(work).unwrap_or_default()
}

/// A list of units of work, as a file that any executor hands to workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkList {
    /// The units, addressed by their position.
    pub units: Vec<WorkUnit>,
}

impl WorkList {
    /// Reads a list.
    ///
    /// # Errors
    /// If the file cannot be read, is no list of units, or is of another version of the wire format.
    pub fn read(path: &Path) -> Result<Self, WorkListError> {
        let bytes = fs::read(path)
            .map_err(|source| WorkListError::Read { path: path.to_owned(), source })?;
        wire::open(&bytes).map_err(|source| WorkListError::Wire { path: path.to_owned(), source })
    }

    /// Publishes the list.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), PublishError> {
        publish::write_json(path, &Sealed::new(self))
    }
}

/// One input that was left out, and why: a row of the quarantine dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The utterance.
    pub id: String,
    /// The file or row it came from.
    pub source: String,
    /// The stage that refused it.
    pub stage: Stage,
    /// Why.
    pub error: String,
}

/// A work list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkListError {
    /// The file cannot be read.
    #[error("failed to read work list {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no list of units, or of another version.
    #[error("work list {path}: {source}")]
    Wire {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WireError,
    },
}
