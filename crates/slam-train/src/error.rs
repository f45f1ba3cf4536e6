use std::io;
use std::path::{Path, PathBuf};

use slam_dataset::schema::NoTokeniser;
use slam_dataset::shard::ShardError;
use slam_lm::LmError;
use slam_nn::weights::WeightsError;
use slam_recipe::publish::PublishError;

use crate::config_error::ConfigError;

/// A training run that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration asks for something impossible.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
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
    /// A shard does not say what made its units.
    #[error("{path}: {source}; unitise it again", path = path.display())]
    NoTokeniser {
        /// The shard.
        path: PathBuf,
        /// What is missing or wrong.
        source: NoTokeniser,
    },
    /// A tokeniser has no units, or more than tokens of 16 bits can name.
    #[error(
        "{path}: its tokeniser has {k} units, not 1 to {most}; unitise it with another",
        path = path.display()
    )]
    Vocabulary {
        /// The shard.
        path: PathBuf,
        /// Its tokeniser's units.
        k: u32,
        /// The most that tokens can name.
        most: u32,
    },
    /// A row has a unit that its tokeniser does not know.
    #[error(
        "{path}: row '{row}' has unit {unit}, but its tokeniser's last is {}; unitise it again",
        k - 1, path = path.display()
    )]
    Unit {
        /// The shard.
        path: PathBuf,
        /// The utterance or the pair.
        row: String,
        /// The unit.
        unit: u16,
        /// How many units the tokeniser has, at least 1.
        k: u32,
    },
    /// The model cannot be made, read or written.
    #[error(transparent)]
    Model(#[from] LmError),
    /// A file of the run cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A file that the run starts from cannot be read.
    #[error("failed to read {path}: {source}", path = path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the run cannot be read.
    #[error(
        "failed to read {path}: {source}; remove it to begin the run again", path = path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// A file of the run cannot be written.
    #[error("failed to write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The loss is not a number any more.
    #[error(
        "the loss is {loss} and the gradient's norm {norm} at step {step}; its samples are listed in {path}: \
         look at these, or lower optimiser.peak_lr",
        path = path.display()
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
    /// A thread that prepares data has panicked.
    #[error(
        "a thread that prepares data has ended; its message stands above. Run it again, the run goes on \
         from its last checkpoint"
    )]
    DataThread,
    /// Asked to stop; the state is saved.
    #[error("interrupted at step {step}; the same command goes on from there")]
    Interrupted {
        /// The next step.
        step: u64,
    },
}

/// What is wrong with a file of the run.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no JSON of its form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is no Arrow file, or was cut short.
    #[error("it is no Arrow file, or was cut short")]
    CutShort,
    /// Its Arrow messages cannot be decoded.
    #[error(transparent)]
    Arrow(#[from] slam_dataset::arrow::error::ArrowError),
    /// Its columns are not those of a token file.
    #[error("its columns are not those of a token file")]
    Columns,
}

impl TrainError {
    pub(crate) fn read(path: &Path, source: impl Into<ReadError>) -> Self {
        Self::Read { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn input(path: &Path, source: io::Error) -> Self {
        Self::Input { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

impl From<WeightsError> for TrainError {
    fn from(error: WeightsError) -> Self {
        Self::Model(error.into())
    }
}
