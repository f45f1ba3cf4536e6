use std::io;
use std::path::PathBuf;

use slam_dataset::shard::ShardError;
use slam_dataset::work::WorkError;

use crate::scorer::ScorerError;

/// Pairs that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// Parameters that this stage does not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A shard that cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A file of pairs that cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A shard that does not name its tokeniser.
    #[error("{0}: {1}")]
    Tokeniser(String, String),
    /// A parameter that makes no pairs.
    #[error("[datasets.source]: {0}")]
    Config(String),
    /// A unit of work without its inputs.
    #[error("the unit has {found} inputs, expected {expected}; plan it again")]
    Inputs {
        /// How many it has.
        found: usize,
        /// What it should have.
        expected: &'static str,
    },
    /// The model that continues prompts.
    #[error("failed to sample continuations: {0}")]
    Sampler(String),
    /// The scorer that ranks continuations.
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}
