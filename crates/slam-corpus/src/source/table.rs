//! Tables of text: TSV, CSV and JSON lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use super::{Refused, SourceError, UnitFile};

/// A row, keyed by the names of its columns. Empty fields are absent.
pub(super) type Row = BTreeMap<String, String>;

/// A table in memory.
pub(super) struct TextTable {
    /// The names of its columns.
    pub(super) columns: Vec<String>,
    /// Its rows. A bad row gives what is wrong with it.
    pub(super) rows: Vec<Result<Row, Refused>>,
}

/// Returns whether a file is a table of text, judged by its name.
pub(super) fn is_text(name: &str) -> bool {
    ["tsv", "csv", "jsonl"].contains(&extension(name))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

impl TextTable {
    /// Reads a table. The first line of a TSV or CSV file names its columns.
    pub(super) fn read(file: &UnitFile) -> Result<Self, SourceError> {
        let error = |source| SourceError::Read { path: file.path.clone(), source };
        let reader = BufReader::new(File::open(&file.path).map_err(error)?);
        match extension(&file.entry.name) {
            "jsonl" => Ok(lines(reader, &file.entry.name)),
            "tsv" => separated(reader, b'\t', file),
            _ => separated(reader, b',', file),
        }
    }
}

fn separated(
    reader: impl BufRead,
    delimiter: u8,
    file: &UnitFile,
) -> Result<TextTable, SourceError> {
    let name = &file.entry.name;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        // A quotation mark in a TSV file is part of the text.
        .quoting(delimiter == b',')
        .from_reader(reader);
    let columns: Vec<String> = reader
        .headers()
        .map_err(|source| SourceError::Csv { path: file.path.clone(), source })?
        .iter()
        .map(|c| c.trim().trim_start_matches('\u{feff}').to_owned())
        .collect();
    let rows = reader
        .records()
        .enumerate()
        .map(|(i, record)| {
            let record = record.map_err(|e| {
                let origin = format!("{name} row {i}");
                Refused::new(&origin, &origin, e.to_string())
            })?;
            let fields = columns.iter().cloned().zip(record.iter().map(str::to_owned));
            Ok(fields.filter(|(_, value)| !value.is_empty()).collect())
        })
        .collect();
    Ok(TextTable { columns, rows })
}

/// A line of JSON that is no row.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Read(io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the line is no JSON object")]
    NoObject,
}

fn lines(reader: impl BufRead, name: &str) -> TextTable {
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    for (i, line) in reader.lines().enumerate() {
        let parsed = line.map_err(LineError::Read).and_then(|line| {
            if line.trim().is_empty() {
                return Ok(None);
            }
            // Windows programs begin a text file with a byte order mark.
            let line = if i == 0 { line.trim_start_matches('\u{feff}') } else { line.as_str() };
            let value: serde_json::Value = serde_json::from_str(line)?;
            let object = value.as_object().ok_or(LineError::NoObject)?;
            let field = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let fields = object.iter().filter_map(|(k, v)| Some((k.clone(), field(v)?)));
            Ok(Some(fields.filter(|(_, value)| !value.is_empty()).collect::<Row>()))
        });
        match parsed {
            Ok(None) => {}
            Ok(Some(row)) => {
                for column in
                    row.keys().filter(|c| !columns.contains(*c)).cloned().collect::<Vec<_>>()
                {
                    columns.push(column);
                }
                rows.push(Ok(row));
            }
            Err(error) => {
                let origin = format!("{name} line {}", i + 1);
                rows.push(Err(Refused::new(&origin, &origin, error.to_string())));
            }
        }
    }
    TextTable { columns, rows }
}
