//! Receipts: the proof, beside a shard, of what it was made from and of what it holds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hash::Key;
use crate::name::ShardName;
use crate::publish::{self, PublishError};
use crate::stage::Stage;
use crate::work::Quarantined;

/// What a finished unit of work leaves beside its shard, as `part-00017-of-00120.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The stage that made the shard.
    pub stage: Stage,
    /// The stage's version.
    pub version: u32,
    /// Which shard.
    pub shard: ShardName,
    /// Content key of the work: stage, version, parameters, input keys.
    pub key: Key,
    /// The file's name, beside the receipt.
    pub file: String,
    /// Rows in the shard.
    pub rows: u64,
    /// Bytes of the shard's file.
    pub bytes: u64,
    /// BLAKE3 of the shard's file.
    pub blake3: Key,
    /// Inputs left out; their rows are in the quarantine file beside the shard.
    pub quarantined: u64,
    /// The first few of them, for messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_quarantined: Vec<Quarantined>,
    /// Digest of the parameters alone: with `inputs` it tells why a shard is stale.
    #[serde(default)]
    pub params: Option<Key>,
    /// Digest of the inputs' keys alone.
    #[serde(default)]
    pub inputs: Option<Key>,
    /// Figures of the stage, e.g. `audio_seconds`, `units`.
    #[serde(default)]
    pub totals: BTreeMap<String, f64>,
    /// The device that computed it.
    pub device: String,
    /// The programs that made it, by name, with versions.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The machine that made it.
    #[serde(default)]
    pub host: String,
    /// When it was finished, in seconds since 1970.
    #[serde(default)]
    pub finished_at: u64,
}

/// What stands where a shard should be.
#[derive(Clone, Debug, PartialEq)]
pub enum ShardState {
    /// Shard and receipt are there and match the key.
    Done(Box<Receipt>),
    /// Nothing, or a shard without a receipt.
    Missing,
    /// Made from other inputs or parameters, as its receipt says.
    Stale(Box<Receipt>),
    /// The receipt is unreadable, or the file is gone or of another size.
    Broken(String),
}

/// The work that a shard should be made by.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The stage.
    pub stage: Stage,
    /// The stage's version.
    pub version: u32,
    /// Digest of the parameters alone.
    pub params: &'a Key,
    /// Digest of the inputs' keys alone.
    pub inputs: &'a Key,
}

/// A file in a data root that says which object store the root mirrors.
pub const MIRROR: &str = ".store";

/// What is there of a shard that should lie at `output` below a data root and have `key`; in a mirror of an object
/// store its receipt alone counts.
pub fn state(root: &Path, output: &Path, key: &Key) -> ShardState {
    let shard = root.join(output);
    if root.join(MIRROR).is_file() {
        Receipt::state_in_mirror(&shard, key)
    } else {
        Receipt::state(&shard, key)
    }
}

impl Receipt {
    /// What sets the work that this receipt proves apart from that of a shard, for people.
    pub fn why_stale(&self, shard: &Planned<'_>) -> String {
        let mut why = Vec::new();
        if (self.stage, self.version) != (shard.stage, shard.version) {
            why.push(format!(
                "made by {} version {}, now {} version {}",
                self.stage, self.version, shard.stage, shard.version
            ));
        }
        if self.params.as_ref().is_some_and(|p| p != shard.params) {
            why.push("its parameters changed".to_owned());
        }
        if self.inputs.as_ref().is_some_and(|i| i != shard.inputs) {
            why.push("its inputs changed".to_owned());
        }
        if why.is_empty() { "its parameters or inputs changed".to_owned() } else { why.join(", ") }
    }

    /// Where the receipt of a shard's file lies.
    pub fn path_of(shard: &Path) -> PathBuf {
        shard.with_extension("json")
    }

    /// Where the quarantine rows of a shard's file lie.
    pub fn quarantine_path_of(shard: &Path) -> PathBuf {
        shard.with_extension("quarantine.parquet")
    }

    /// Reads the receipt of a shard's file; `None` where there is none.
    ///
    /// # Errors
    /// If the file cannot be read or is not a receipt.
    pub fn read(shard: &Path) -> Result<Option<Self>, io::Error> {
        match fs::read(Self::path_of(shard)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Publishes the receipt beside its shard, which must be published first.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, shard: &Path) -> Result<(), PublishError> {
        publish::write_json(&Self::path_of(shard), self)
    }

    /// The state of a shard that should have `key`, without reading the shard itself.
    pub fn state(shard: &Path, key: &Key) -> ShardState {
        match Self::read(shard) {
            Ok(None) => ShardState::Missing,
            Ok(Some(receipt)) => match fs::metadata(shard) {
                Ok(file) if file.len() != receipt.bytes => ShardState::Broken(format!(
                    "{} bytes where the receipt says {}",
                    file.len(),
                    receipt.bytes
                )),
                Ok(_) if receipt.key == *key => ShardState::Done(Box::new(receipt)),
                Ok(_) => ShardState::Stale(Box::new(receipt)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => ShardState::Missing,
                Err(e) => ShardState::Broken(e.to_string()),
            },
            Err(e) => ShardState::Broken(format!("unreadable receipt: {e}")),
        }
    }

    /// The state of a shard in a mirror of an object store: its receipt alone proves it, the file may still be in
    /// the store only.
    pub fn state_in_mirror(shard: &Path, key: &Key) -> ShardState {
        match (Self::state(shard, key), Self::read(shard)) {
            (ShardState::Missing, Ok(Some(receipt))) if receipt.key == *key => {
                ShardState::Done(Box::new(receipt))
            }
            (ShardState::Missing, Ok(Some(receipt))) => ShardState::Stale(Box::new(receipt)),
            (state, _) => state,
        }
    }

    /// Whether the shard's file still has the bytes the receipt says.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn verify(&self, shard: &Path) -> io::Result<bool> {
        Ok(Key::of_file(shard)? == self.blake3)
    }
}
