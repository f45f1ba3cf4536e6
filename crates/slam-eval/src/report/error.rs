use std::io;
use std::path::PathBuf;

use slam_dataset::shard::ShardError;
use slam_recipe::publish::PublishError;

use crate::record::RecordError;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error("failed to read {path}: {source}; run the steps before the report again")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// The summary of a run is damaged.
    #[error("failed to read {path}: {source}; run the steps before the report again")]
    Summary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The scores cannot be read.
    #[error(transparent)]
    Scores(#[from] RecordError),
    /// A shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The template does not accept the figures.
    #[error("failed to write the report: {0}")]
    Template(#[from] minijinja::Error),
    /// The file cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}
