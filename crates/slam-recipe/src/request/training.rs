//! What training is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::evaluation::ProbeRequest;
use crate::hash::Key;
use crate::pipeline::Model;
use crate::training::{DpoConfig, PretrainConfig};

/// A run of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainRequest {
    /// How.
    pub params: PretrainConfig,
    /// The decoder: a configuration for random weights, or a checkpoint and what the pipeline states of it.
    pub model: Model,
    /// The content of the checkpoint; none for random weights.
    pub start_key: Option<Key>,
    /// The datasets to train on.
    pub datasets: Vec<UnitShards>,
    /// The content of their shards.
    pub data_key: Key,
    /// The folder of the run's stage.
    pub run: PathBuf,
    /// Suites to score at each validation.
    pub suites: Option<ProbeRequest>,
}

/// The unit shards of one dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitShards {
    /// The dataset's name.
    pub name: String,
    /// Its shards, in order.
    pub shards: Vec<PathBuf>,
}

/// A run of preference optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoRequest {
    /// How.
    pub params: DpoConfig,
    /// The folder of the checkpoint to start from.
    pub policy: PathBuf,
    /// Pair shards.
    pub shards: Vec<PathBuf>,
    /// The content of the shards and of what the policy was made of.
    pub data_key: Key,
    /// The folder of the run's stage.
    pub run: PathBuf,
    /// Suites to score at each validation.
    pub suites: Option<ProbeRequest>,
}
