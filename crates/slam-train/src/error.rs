use std::io;
use std::path::{Path, PathBuf};

use slam_dataset::publish::PublishError;
use slam_dataset::shard::ShardError;
use slam_lm::LmError;

use crate::plan::Plan;

/// A training run that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration asks for something impossible.
    #[error("configuration: {0}")]
    Config(String),
    /// A shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Shards, or a shard and the model, come from different tokenisers.
    #[error(
        "{what}: made by tokeniser {found}, but {expected_by} by {expected}; unitise one of them again"
    )]
    Tokeniser {
        /// What does not fit.
        what: String,
        /// Its tokeniser.
        found: String,
        /// What it should fit.
        expected_by: String,
        /// That one's tokeniser.
        expected: String,
    },
    /// The model cannot be made, read or written.
    #[error(transparent)]
    Model(#[from] LmError),
    /// A file of the run cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A file of the run cannot be read.
    #[error("failed to read {path}: {message}; remove it to begin the run again")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A file of the run cannot be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The loss is not a number any more.
    #[error(
        "the loss is {loss} and the gradient's norm {norm} at step {step}; its samples are listed in {path}: look at these, or lower optimiser.peak_lr"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
        /// The gradient's norm.
        norm: f64,
        /// Where the samples are listed.
        path: PathBuf,
    },
    /// Asked for the plan alone; it is made.
    #[error("planned: {plan}")]
    Planned {
        /// The plan.
        plan: Box<Plan>,
    },
    /// Asked to stop; the state is saved.
    #[error("interrupted at step {step}; the same command goes on from there")]
    Interrupted {
        /// The next step.
        step: u64,
    },
}

impl TrainError {
    pub(crate) fn read(path: &Path, message: impl std::fmt::Display) -> Self {
        Self::Read { path: path.to_owned(), message: message.to_string() }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
