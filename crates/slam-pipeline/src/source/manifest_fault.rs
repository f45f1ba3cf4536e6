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
    /// A column that is there twice.
    #[error("it has the column '{name}' twice; rename one of them")]
    Column {
        /// The column.
        name: String,
    },
    /// A quoted field that is not closed.
    #[error(
        "a quotation mark is opened and not closed; close it, or write \"\" for a mark inside a field"
    )]
    Quote,
    /// It has no rows.
    #[error("it names no recording")]
    Empty,
}

/// What is wrong with a row of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// It has more or fewer fields than the table has columns.
    #[error("it has {found} fields, the table has {expected} columns")]
    Fields {
        /// Fields of the row.
        found: usize,
        /// Columns of the table.
        expected: usize,
    },
    /// It has lines in a field and the wrong number of fields, as behind a quotation mark that is not closed.
    #[error(
        "it has lines in a field, and not as many fields as the table has columns; close the quotation mark in it, or \
         write \"\" for a mark inside a field"
    )]
    Lines,
    /// It names a folder, a pipe or a device.
    #[error("'{name}' is not a file")]
    NoFile {
        /// The recording.
        name: String,
    },
    /// It is no JSON object.
    #[error("it is no JSON object, from column {column} on")]
    Json {
        /// Where the fault is found, from 1.
        column: usize,
    },
    /// It is no row of fairseq's.
    #[error("expected a path, a tab and a number of samples")]
    Fairseq,
    /// Its path would be another on every machine.
    #[error(
        "{path} is not below the manifest's root; name the folder that the recordings are below (source.folder)"
    )]
    Outside {
        /// The recording.
        path: PathBuf,
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
