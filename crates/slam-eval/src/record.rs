//! A scored checkpoint: what was scored, how, and the scores, as JSON beside the scores shard.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::json;
use slam_dataset::Key;
use slam_dataset::publish::{self, PublishError, Staged};
use slam_dataset::schema::TokeniserInfo;

use crate::aggregate::{Convention, SuiteScore, summarise};
use crate::evaluate::{EvaluateError, evaluate};

/// The version of what is computed; another one makes recorded scores stale.
const VERSION: u32 = 1;

/// Files of a checkpoint that its scores depend on.
const CHECKPOINT_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokeniser.json"];

/// What was scored, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Content key of checkpoint, shards and convention.
    pub key: Key,
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The tokeniser of its units, where the checkpoint says it.
    pub tokeniser: Option<TokeniserInfo>,
    /// How pairs were compared.
    pub convention: Convention,
    /// BLAKE3 of the scores shard.
    pub scores_blake3: Key,
    /// Pairs scored.
    pub rows: usize,
    /// The score of each suite, in the order of their names.
    pub suites: Vec<SuiteScore>,
    /// Whether the scores were there before this call.
    #[serde(skip)]
    pub was_done: bool,
}

/// A record that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file that the scores depend on cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record that is no record.
    #[error("{path} is no record of scores: {source}; evaluate the checkpoint again")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The disk refuses.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The scores cannot be had.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// The record beside a scores shard.
fn path_of(scores: &Path) -> PathBuf {
    scores.with_extension("json")
}

impl Evaluation {
    /// Reads the record of a scores shard.
    ///
    /// # Errors
    /// If it is missing or unreadable.
    pub fn read(scores: &Path) -> Result<Self, RecordError> {
        let path = path_of(scores);
        let bytes =
            fs::read(&path).map_err(|source| RecordError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| RecordError::Parse { path, source })
    }

    /// Scores a checkpoint on benchmark shards and writes the scores shard `out` with its record, unless
    /// both are there for the same checkpoint, shards and convention.
    ///
    /// # Errors
    /// If the checkpoint or a shard cannot be read or used, or the disk refuses.
    pub fn of(
        checkpoint: &Path,
        tokeniser: Option<&TokeniserInfo>,
        shards: &[PathBuf],
        convention: Convention,
        device: &Device,
        out: &Path,
    ) -> Result<Self, RecordError> {
        let key = key(checkpoint, shards, convention)?;
        if let Ok(record) = Self::read(out)
            && record.key == key
            && Key::of_file(out).is_ok_and(|k| k == record.scores_blake3)
        {
            return Ok(Self { was_done: true, ..record });
        }
        let staged = Staged::new(out)?;
        let scores = evaluate(checkpoint, tokeniser, shards, device, staged.path())?;
        let scores_blake3 = Key::of_file(staged.path())
            .map_err(|source| RecordError::Read { path: staged.path().to_owned(), source })?;
        staged.publish()?;
        let record = Self {
            key,
            checkpoint: checkpoint.to_owned(),
            tokeniser: tokeniser.cloned(),
            convention,
            scores_blake3,
            rows: scores.len(),
            suites: summarise(&scores, convention),
            was_done: false,
        };
        publish::write(&path_of(out), &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
        Ok(record)
    }

    /// A suite's score.
    pub fn suite(&self, name: &str) -> Option<&SuiteScore> {
        self.suites.iter().find(|s| s.suite == name)
    }
}

fn key(checkpoint: &Path, shards: &[PathBuf], convention: Convention) -> Result<Key, RecordError> {
    let files = CHECKPOINT_FILES
        .iter()
        .map(|name| checkpoint.join(name))
        // Large models are several files; the tokeniser is not known of every model.
        .filter(|path| path.is_file())
        .chain(sharded(checkpoint))
        .chain(shards.iter().cloned());
    let keys = files
        .map(|path| Key::of_file(&path).map_err(|source| RecordError::Read { path, source }))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Key::of_work("evaluate", VERSION, &json!({"convention": convention}), &keys))
}

/// Weight files of a checkpoint in several parts, in the order of their names.
fn sharded(checkpoint: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(checkpoint).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|e| e.path())
        .filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("model-") && name.ends_with(".safetensors")
        })
        .collect();
    files.sort();
    files
}
