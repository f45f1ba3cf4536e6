//! Reading and writing shards: Parquet files of one row type.
//!
//! The bytes of a shard are a function of its rows and metadata alone: no clock, no map order.

pub mod batches;
mod json;
mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use slam_recipe::publish::PublishError;

use crate::schema::ColumnError;

pub use json::{Excerpt, excerpt};
pub use reader::{ShardReader, read};
pub use writer::{ShardWriter, write};

/// A row of a dataset.
pub trait Row: Sized {
    /// The dataset's name, for messages.
    const DATASET: &'static str;

    /// The dataset's columns.
    fn schema() -> Arc<Schema>;

    /// Rows as columns.
    ///
    /// # Errors
    /// If the rows do not fit the columns (a list of over 2³¹ values).
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;

    /// Columns as rows.
    ///
    /// # Errors
    /// If a column is missing, is of another type, or has a value that it may not have.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError>;

    /// About how many bytes the row takes; row groups are capped by their sum.
    fn size(&self) -> usize;

    /// Key-value metadata every file of this dataset carries.
    fn file_metadata() -> Vec<(String, String)> {
        Vec::new()
    }

    /// Columns that shards of the layout before this one lack; rows without them still read.
    fn new_columns() -> &'static [&'static str] {
        &[]
    }

    /// Columns that hold data that is already compressed.
    fn plain_columns() -> &'static [&'static str] {
        &[]
    }
}

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
        "{path} has the old layout of {dataset} shards, without the column '{column}'; prepare the data again \
         (prepare-data)"
    )]
    OldLayout {
        /// The file.
        path: PathBuf,
        /// The dataset expected.
        dataset: &'static str,
        /// A column that it lacks.
        column: &'static str,
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
    fn write(path: &Path, source: ParquetError) -> Self {
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
