//! The record of a scored checkpoint: what was scored, how, and the scores, as JSON beside the scores
//! shard.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slam_dataset::schema::{BenchmarkPair, Score, TokeniserInfo};
use slam_dataset::shard::{self, ShardError, ShardReader};
use slam_recipe::publish::{self, PublishError, Staged};
use slam_recipe::{Key, Receipt};

use crate::aggregate::{Convention, SuiteScore, summarise};
use crate::convention;
use crate::evaluate::{EvaluateError, evaluate};

/// The version of the computation. A new version makes recorded scores stale.
const VERSION: u32 = 3;

/// The files of a checkpoint that its scores depend on.
const CHECKPOINT_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokeniser.json"];

/// What was scored, and the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The content key of checkpoint and shards.
    pub key: Key,
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The tokens that the checkpoint was trained on in its stage, if its folder records them.
    #[serde(default)]
    pub trained_tokens: Option<u64>,
    /// The tokeniser of its units, if the checkpoint names it.
    pub tokeniser: Option<TokeniserInfo>,
    /// The benchmark shards that were scored.
    pub shards: Vec<ScoredShard>,
    /// BLAKE3 of the scores shard.
    pub scores_blake3: Key,
    /// The number of pairs scored.
    pub rows: usize,
    /// The score of each suite, sorted by the suite's name.
    pub suites: Vec<SuiteScore>,
    /// Whether the scores existed before this call.
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
    /// The number of pairs in it; `None` in records of older program versions.
    pub rows: Option<u64>,
    /// The splits of its items; empty if the shard does not record them.
    #[serde(default)]
    pub splits: Vec<String>,
    /// The items that were left out of it, counted by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl ScoredShard {
    fn read(path: &Path) -> Result<Self, RecordError> {
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

/// The reasons why a record cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file that the scores depend on cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// A file is not a record of scores.
    #[error("{path} is no record of scores: {source}; evaluate the checkpoint again")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why it is not a record.
        source: serde_json::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A scores shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The scores could not be computed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// Returns the path of the record beside a scores shard.
fn path_of(scores: &Path) -> PathBuf {
    scores.with_extension("json")
}

impl Evaluation {
    /// Reads the record of a scores shard.
    ///
    /// # Errors
    /// Fails if it is missing or unreadable.
    pub fn read(scores: &Path) -> Result<Self, RecordError> {
        let path = path_of(scores);
        let bytes =
            fs::read(&path).map_err(|source| RecordError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| RecordError::Parse { path, source })
    }

    /// Scores a checkpoint on benchmark shards, and writes the scores shard `out` with its record. Scores
    /// that already exist for the same checkpoint and shards are kept; another convention is computed from
    /// them without the model. If `convention` is `None`, each suite uses its own.
    ///
    /// # Errors
    /// Fails if the checkpoint or a shard cannot be read or used, or if a file cannot be written.
    pub fn score(
        checkpoint: &Path,
        tokeniser: Option<&TokeniserInfo>,
        shards: &[PathBuf],
        convention: Option<Convention>,
        device: &Device,
        out: &Path,
    ) -> Result<Self, RecordError> {
        let scored = shards.iter().map(|p| ScoredShard::read(p)).collect::<Result<Vec<_>, _>>()?;
        let key = key(checkpoint, &scored)?;
        if let Ok(record) = Self::read(out)
            && record.key == key
            && Key::of_file(out).is_ok_and(|k| k == record.scores_blake3)
        {
            let wanted = |s: &SuiteScore| {
                s.convention == convention.unwrap_or_else(|| convention::default_for(&s.suite))
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

    /// Returns a suite's score.
    pub fn suite(&self, name: &str) -> Option<&SuiteScore> {
        self.suites.iter().find(|s| s.suite == name)
    }
}

/// Returns the tokens that a checkpoint of a run was trained on. The checkpoint's counters give this
/// number. The run's summary gives it for the last checkpoint. The first checkpoint has none.
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
        // Large models have several files, and not every model has a known tokeniser.
        .filter(|path| path.is_file())
        .chain(sharded(checkpoint));
    let mut keys = files
        .map(|path| Key::of_file(&path).map_err(|source| RecordError::Read { path, source }))
        .collect::<Result<Vec<_>, _>>()?;
    keys.extend(shards.iter().map(|s| s.blake3.clone()));
    Ok(Key::of_work("evaluate", VERSION, &json!({}), &keys))
}

/// Returns the weight files of a multi-part checkpoint, sorted by name.
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
