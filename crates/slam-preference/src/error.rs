use std::io;
use std::path::PathBuf;

use slam_dataset::schema::NoTokeniser;
use slam_dataset::shard::ShardError;

use crate::sampler::SamplerError;
use crate::scorer::ScorerError;
use crate::source::CutError;

/// The reasons why pairs could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// How sequences are cut.
    #[error("[datasets.source]: {0}")]
    Cut(#[from] CutError),
    /// A source that makes no pairs.
    #[error("a source of the kind '{kind}' makes no pairs; plan it again")]
    NoPairs {
        /// The kind of source.
        kind: &'static str,
    },
    /// A shard that cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A file of pairs cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// A shard does not name its tokeniser.
    #[error("{path}: {reason}", path = path.display())]
    Tokeniser {
        /// The shard.
        path: PathBuf,
        /// What its metadata lacks.
        reason: NoTokeniser,
    },
    /// A parameter does not allow any pairs.
    #[error("[datasets.source]: {0}")]
    Config(String),
    /// A unit of work does not have its inputs.
    #[error("the unit has {found} inputs, expected {expected}; plan it again")]
    Inputs {
        /// The number of inputs that the unit has.
        found: usize,
        /// The inputs that the unit should have.
        expected: &'static str,
    },
    /// The model that continues prompts failed.
    #[error("failed to sample continuations: {0}")]
    Sampler(#[source] SamplerError),
    /// The scorer that ranks continuations failed.
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    /// The stage was asked to stop.
    #[error("interrupted")]
    Interrupted,
}
