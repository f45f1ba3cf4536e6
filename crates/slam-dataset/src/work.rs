//! Units of work: what a worker is asked to do, and how one is carried out so that it is published whole
//! or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::{Key, canonical_json};
use crate::name::ShardName;
use crate::publish::{self, PublishError, Staged};
use crate::receipt::Receipt;

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
    /// The stage, a verb: `ingest`, `unitise`, …
    pub stage: String,
    /// The stage's version; another version is another result.
    pub version: u32,
    /// Which shard.
    pub shard: ShardName,
    /// The stage's parameters for this shard.
    pub params: Value,
    /// What it reads, in an order that is part of the key.
    pub inputs: Vec<Input>,
    /// The file to write, relative to the data root.
    pub output: PathBuf,
    /// `blake3(stage, version, canonical parameters, input keys)`.
    pub key: Key,
}

impl WorkUnit {
    /// A unit with its key computed.
    pub fn new(
        stage: &str,
        version: u32,
        shard: ShardName,
        params: Value,
        inputs: Vec<Input>,
        output: PathBuf,
    ) -> Self {
        let key = Key::of_work(stage, version, &params, inputs.iter().map(|i| &i.key));
        Self { stage: stage.to_owned(), version, shard, params, inputs, output, key }
    }

    /// A digest of the parameters alone.
    pub fn params_digest(&self) -> Key {
        Key::of_bytes(canonical_json(&self.params).as_bytes())
    }

    /// A digest of the inputs' keys alone.
    pub fn inputs_digest(&self) -> Key {
        Key::of_work("inputs", 0, &Value::Null, self.inputs.iter().map(|i| &i.key))
    }

    /// This unit's output as the input of another.
    pub fn as_input(&self) -> Input {
        Input { path: self.output.clone(), key: self.key.clone() }
    }

    /// The parameters as a stage's own type.
    ///
    /// # Errors
    /// If a field is missing, unknown or of another type.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, WorkError> {
        T::deserialize(&self.params).map_err(|source| WorkError::Params {
            stage: self.stage.clone(),
            shard: self.shard,
            source,
        })
    }
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
    /// If the file cannot be read or is no list of units.
    pub fn read(path: &Path) -> Result<Self, WorkError> {
        let wrap = |source| WorkError::List { path: path.to_owned(), source };
        let bytes = fs::read(path).map_err(wrap)?;
        serde_json::from_slice(&bytes).map_err(|e| wrap(e.into()))
    }

    /// Publishes the list.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), PublishError> {
        publish::write(path, &serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What a stage reports while it works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// How much is done.
    pub done: f64,
    /// Of how much; 0 where unknown.
    pub total: f64,
    /// What is counted, e.g. `rows`, `steps`.
    pub unit: &'static str,
}

/// The surroundings of a unit of work; nothing in here changes a result's bytes.
pub struct Context<'a> {
    /// The data root that relative paths are under.
    pub root: &'a Path,
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
    /// Where progress goes.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// The device, for the receipt.
    pub device: String,
    /// Programs and versions, for the receipt.
    pub tools: BTreeMap<String, String>,
}

impl Context<'_> {
    /// An input's file.
    pub fn path(&self, input: &Input) -> PathBuf {
        self.root.join(&input.path)
    }

    /// Whether to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
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
    pub stage: String,
    /// Why.
    pub error: String,
}

/// What a stage says of the shard it wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Rows written.
    pub rows: u64,
    /// Inputs left out.
    pub quarantined: Vec<Quarantined>,
    /// Figures for the receipt.
    pub totals: BTreeMap<String, f64>,
}

/// A unit of work that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A work list that cannot be read.
    #[error("failed to read work list {path}: {source}")]
    List {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Parameters the stage does not understand.
    #[error("{shard}: parameters of stage '{stage}': {source}")]
    Params {
        /// The stage.
        stage: String,
        /// The shard.
        shard: ShardName,
        /// Why.
        source: serde_json::Error,
    },
    /// The result could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The stage failed.
    #[error("stage '{stage}', {output}: {message}")]
    Stage {
        /// The stage.
        stage: String,
        /// The shard's file.
        output: PathBuf,
        /// The stage's own error with its causes.
        message: String,
    },
    /// The process was asked to stop; nothing was published.
    #[error("interrupted")]
    Interrupted,
}

/// Inputs that a receipt names of those that were left out.
const NAMED: usize = 3;

/// Carries out one unit: runs the stage on a temporary file, publishes it, then its quarantine, then its
/// receipt. The caller has decided that the unit must be done.
///
/// # Errors
/// If the stage fails, the process is asked to stop, or the disk refuses. Nothing is published then.
pub fn execute<E: std::error::Error>(
    unit: &WorkUnit,
    context: &Context<'_>,
    stage: impl FnOnce(&Path) -> Result<Outcome, E>,
) -> Result<Receipt, WorkError> {
    let started = Instant::now();
    let target = context.root.join(&unit.output);
    let staged = Staged::new(&target)?;
    let outcome = stage(staged.path()).map_err(|e| {
        if context.cancelled() {
            return WorkError::Interrupted;
        }
        WorkError::Stage {
            stage: unit.stage.clone(),
            output: unit.output.clone(),
            message: with_causes(&e),
        }
    })?;
    if context.cancelled() {
        return Err(WorkError::Interrupted);
    }
    let describe = |e| PublishError::new(&target, e);
    let bytes = fs::metadata(staged.path()).map_err(describe)?.len();
    let blake3 = Key::of_file(staged.path()).map_err(describe)?;
    // The old receipt goes first: a shard is only ever described by a receipt younger than itself.
    for old in [Receipt::path_of(&target), Receipt::quarantine_path_of(&target)] {
        match fs::remove_file(&old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(PublishError::new(&old, e).into());
            }
            _ => {}
        }
    }
    staged.publish()?;
    #[cfg(feature = "parquet")]
    if !outcome.quarantined.is_empty() {
        let path = Receipt::quarantine_path_of(&target);
        let staged = Staged::new(&path)?;
        crate::shard::write(staged.path(), &outcome.quarantined, &BTreeMap::new())
            .map_err(|e| PublishError::new(&path, io::Error::other(e)))?;
        staged.publish()?;
    }
    let receipt = Receipt {
        stage: unit.stage.clone(),
        version: unit.version,
        shard: unit.shard,
        key: unit.key.clone(),
        file: target.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        rows: outcome.rows,
        bytes,
        blake3,
        quarantined: outcome.quarantined.len() as u64,
        first_quarantined: outcome.quarantined.into_iter().take(NAMED).collect(),
        params: Some(unit.params_digest()),
        inputs: Some(unit.inputs_digest()),
        totals: outcome.totals,
        device: context.device.clone(),
        tools: context.tools.clone(),
        seconds: started.elapsed().as_secs_f64(),
        host: publish::host().to_owned(),
        finished_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
    };
    receipt.write(&target)?;
    Ok(receipt)
}

/// An error and what caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let e_text = e.to_string();
        // Errors that already show their cause would say it twice.
        if !text.contains(&e_text) {
            text.push_str(": ");
            text.push_str(&e_text);
        }
        cause = e.source();
    }
    text
}
