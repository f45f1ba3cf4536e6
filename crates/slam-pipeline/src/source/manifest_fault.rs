//! Manifests of recordings that cannot be used.

use std::path::PathBuf;

/// Columns that name the recording; the last is that of NeMo's manifests.
pub(super) const PATHS: [&str; 4] = ["path", "audio", "file", "audio_filepath"];

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFault {
    /// The source names no file.
    #[error("source.file is missing; name the table of recordings")]
    NoFile,
    /// Its name has another ending.
    #[error("write it as .tsv, .csv or .jsonl")]
    Ending,
    /// It is no table.
    #[error(transparent)]
    Table(#[from] csv::Error),
    /// A row cannot be used.
    #[error("row {row}: {fault}")]
    Row {
        /// The row, from 1.
        row: usize,
        /// What is wrong.
        fault: RowFault,
    },
    /// Two rows of one id.
    #[error("rows {first} and {second} have the same id '{id}'; give each an 'id' of its own")]
    Twice {
        /// The first of them.
        first: usize,
        /// The other.
        second: usize,
        /// The id.
        id: String,
    },
    /// It has no rows.
    #[error("it names no recording")]
    Empty,
}

/// What is wrong with a row of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// It has more or fewer fields than the table has columns.
    #[error("{0}")]
    Fields(String),
    /// It is no JSON object.
    #[error("it is no JSON object: {0}")]
    Json(String),
    /// It is no row of fairseq's.
    #[error("expected a path, a tab and a number of samples")]
    Fairseq,
    /// Its path would be another on every machine.
    #[error(
        "{path} is not below {root}; name the folder that the recordings are below (source.folder)"
    )]
    Outside {
        /// The recording.
        path: PathBuf,
        /// What paths are relative to.
        root: PathBuf,
    },
    /// No column names a recording.
    #[error("no column names a recording (one of {}); its columns are {columns}", PATHS.join(", "))]
    NoPath {
        /// The columns that it has.
        columns: String,
    },
    /// A time is no number.
    #[error("{column} is '{value}', not a number of seconds")]
    Seconds {
        /// The column.
        column: &'static str,
        /// Its value.
        value: String,
    },
    /// It ends before it starts.
    #[error("it ends at {end} s, before its start at {start} s")]
    Backwards {
        /// The start as it is written.
        start: String,
        /// The end as it is written.
        end: String,
    },
}
