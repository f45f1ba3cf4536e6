//! What a report is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pipeline::{Pipeline, Role};

/// What a report shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The run's name.
    pub title: String,
    /// Why the figures mean nothing, where they do not.
    pub notice: Option<String>,
    /// The pipeline, as it was run.
    pub pipeline: Pipeline,
    /// The datasets.
    pub datasets: Vec<DatasetFiles>,
    /// The folder of pre-training.
    pub pretrain: Option<PathBuf>,
    /// The folder of preference optimisation.
    pub dpo: Option<PathBuf>,
    /// Scored checkpoints, in the order of the run.
    pub scores: Vec<ScoredCheckpoint>,
    /// Scores of checkpoints that training left on its way, for curves.
    pub intermediate: IntermediateScores,
    /// Where the HTML file goes.
    pub out: PathBuf,
}

/// Scores shards of checkpoints that the stages of a run left on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateScores {
    /// Of pre-training.
    pub pretrain: Vec<PathBuf>,
    /// Of preference optimisation.
    pub dpo: Vec<PathBuf>,
}

/// A dataset's shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetFiles {
    /// The dataset.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What the run does with it.
    pub usage: Usage,
    /// Its licence.
    pub licence: String,
    /// What it holds.
    pub counts: DatasetCounts,
    /// Corpus shards.
    pub corpus: Vec<PathBuf>,
    /// Unit shards.
    pub units: Vec<PathBuf>,
}

/// What a dataset holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetCounts {
    /// Utterances in its corpus.
    pub utterances: u64,
    /// How long they are together.
    pub audio_seconds: f64,
    /// Units after deduplication.
    pub units: u64,
    /// Inputs that were left out of its corpus and its units.
    pub quarantined: u64,
}

/// What a run does with a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// The model is pre-trained on it.
    Training,
    /// It serves preferences or scores, or nothing.
    Other,
}

/// A scored checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredCheckpoint {
    /// What it is, for people.
    pub label: String,
    /// Its scores shard.
    pub scores: PathBuf,
}

/// Runs to compare, as their reports are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    /// The runs; each is compared with the first.
    pub runs: Vec<ReportRequest>,
    /// Their names, as many as runs.
    pub names: Vec<String>,
    /// Where the HTML file goes.
    pub out: PathBuf,
}
