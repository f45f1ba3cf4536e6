//! Manifests of recordings that cannot be used.

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
    /// A line is no JSON object.
    #[error("line {line}: {source}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
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
