use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use slam_recipe::publish::PublishError;

use crate::schema::ColumnError;

/// A shard that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The file cannot be opened.
    #[error("failed to open shard {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a Parquet file, or a broken one.
    #[error("shard {path} is broken: {source}; rebuild it (`shards rebuild`)")]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// Its columns or values are not this dataset's.
    #[error("{path}: not a {dataset} shard: {source}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The dataset expected.
        dataset: &'static str,
        /// What is wrong.
        source: ColumnError,
    },
    /// It is of a layout from before a column was there.
    #[error(
        "{path} has the old layout of {dataset} shards, without the column '{column}'; {remedy}"
    )]
    OldLayout {
        /// The file.
        path: PathBuf,
        /// The dataset expected.
        dataset: &'static str,
        /// A column that it lacks.
        column: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It cannot be written.
    #[error("failed to write shard {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The disk refuses it.
    #[error(transparent)]
    Disk(#[from] PublishError),
}

impl ShardError {
    /// Wraps an error on writing; one of the disk's own says what to do about it.
    pub(super) fn write(path: &Path, source: ParquetError) -> Self {
        let io = match &source {
            ParquetError::External(e) => e.downcast_ref::<io::Error>().map(io::Error::kind),
            _ => None,
        };
        match io {
            Some(kind) => PublishError::new(path, kind.into()).into(),
            None => Self::Write { path: path.to_owned(), source },
        }
    }
}
