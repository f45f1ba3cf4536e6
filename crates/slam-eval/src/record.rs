//! A scored checkpoint: what was scored, how, and the scores, as JSON beside the scores shard.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slam_dataset::publish::{self, PublishError, Staged};
use slam_dataset::schema::{BenchmarkPair, Score, TokeniserInfo};
use slam_dataset::shard::{self, ShardError, ShardReader};
use slam_dataset::{Key, Receipt};

use crate::aggregate::{Convention, SuiteScore, summarise};
use crate::evaluate::{EvaluateError, evaluate};

/// The version of what is computed; another one makes recorded scores stale.
const VERSION: u32 = 2;

/// Files of a checkpoint that its scores depend on.
const CHECKPOINT_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokeniser.json"];

/// What was scored, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Content key of checkpoint and shards.
    pub key: Key,
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// Tokens that it was trained on in its stage, where its folder says it.
    #[serde(default)]
    pub trained_tokens: Option<u64>,
    /// The tokeniser of its units, where the checkpoint says it.
    pub tokeniser: Option<TokeniserInfo>,
    /// What was scored.
    pub shards: Vec<ScoredShard>,
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

/// A benchmark shard that was scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredShard {
    /// The file.
    pub path: PathBuf,
    /// BLAKE3 of its content.
    pub blake3: Key,
    /// Pairs in it; `None` in records of older programs.
    pub rows: Option<u64>,
    /// The splits of its items; none where it does not say.
    #[serde(default)]
    pub splits: Vec<String>,
    /// Items that were left out of it, by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl ScoredShard {
    fn of(path: &Path) -> Result<Self, RecordError> {
        let blake3 = Key::of_file(path)
            .map_err(|source| RecordError::Read { path: path.to_owned(), source })?;
        let receipt = Receipt::read(path).ok().flatten();
        let left_out = receipt.iter().flat_map(|r| &r.totals);
        let reader = ShardReader::<BenchmarkPair>::open(path)?;
        let splits = reader.metadata().get(BenchmarkPair::SPLITS).into_iter();
        Ok(Self {
            path: path.to_owned(),
            blake3,
            rows: Some(reader.num_rows()),
            splits: splits.flat_map(|s| s.split(',')).map(str::to_owned).collect(),
            left_out: left_out.map(|(reason, n)| (reason.clone(), *n as u64)).collect(),
        })
    }
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
    /// A scores shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
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

    /// Scores a checkpoint on benchmark shards and writes the scores shard `out` with its record. What is
    /// there for the same checkpoint and shards is kept, and another convention is computed from it without
    /// the model. Where `convention` is `None`, each suite has its own.
    ///
    /// # Errors
    /// If the checkpoint or a shard cannot be read or used, or the disk refuses.
    pub fn of(
        checkpoint: &Path,
        tokeniser: Option<&TokeniserInfo>,
        shards: &[PathBuf],
        convention: Option<Convention>,
        device: &Device,
        out: &Path,
    ) -> Result<Self, RecordError> {
        let scored = shards.iter().map(|p| ScoredShard::of(p)).collect::<Result<Vec<_>, _>>()?;
        let key = key(checkpoint, &scored)?;
        if let Ok(record) = Self::read(out)
            && record.key == key
            && Key::of_file(out).is_ok_and(|k| k == record.scores_blake3)
        {
            let wanted = |s: &SuiteScore| {
                s.convention == convention.unwrap_or_else(|| Convention::default_for(&s.suite))
            };
            if record.suites.iter().all(wanted) {
                return Ok(Self { was_done: true, ..record });
            }
            let scores = shard::read::<Score>(out)?;
            let record = Self { suites: summarise(&scores, convention), ..record };
            record.write(out)?;
            return Ok(record);
        }
        let staged = Staged::new(out)?;
        let scores = evaluate(checkpoint, tokeniser, shards, device, staged.path())?;
        let scores_blake3 = Key::of_file(staged.path())
            .map_err(|source| RecordError::Read { path: staged.path().to_owned(), source })?;
        staged.publish()?;
        let record = Self {
            key,
            checkpoint: checkpoint.to_owned(),
            trained_tokens: trained_tokens(checkpoint),
            tokeniser: tokeniser.cloned(),
            shards: scored,
            scores_blake3,
            rows: scores.len(),
            suites: summarise(&scores, convention),
            was_done: false,
        };
        record.write(out)?;
        Ok(record)
    }

    fn write(&self, scores: &Path) -> Result<(), PublishError> {
        publish::write(&path_of(scores), &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// A suite's score.
    pub fn suite(&self, name: &str) -> Option<&SuiteScore> {
        self.suites.iter().find(|s| s.suite == name)
    }
}

/// Tokens that a checkpoint of a run was trained on: its counters say it, or the run's summary of its last
/// one; its first has none.
fn trained_tokens(checkpoint: &Path) -> Option<u64> {
    let name = checkpoint.file_name()?;
    let path = if name == "initial" {
        return Some(0);
    } else if name == "final" {
        checkpoint.parent()?.join("summary.json")
    } else {
        checkpoint.join("state.json")
    };
    let json: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    json["spent"]["tokens"].as_u64()
}

fn key(checkpoint: &Path, shards: &[ScoredShard]) -> Result<Key, RecordError> {
    let files = CHECKPOINT_FILES
        .iter()
        .map(|name| checkpoint.join(name))
        // Large models are several files; the tokeniser is not known of every model.
        .filter(|path| path.is_file())
        .chain(sharded(checkpoint));
    let mut keys = files
        .map(|path| Key::of_file(&path).map_err(|source| RecordError::Read { path, source }))
        .collect::<Result<Vec<_>, _>>()?;
    keys.extend(shards.iter().map(|s| s.blake3.clone()));
    Ok(Key::of_work("evaluate", VERSION, &json!({}), &keys))
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
