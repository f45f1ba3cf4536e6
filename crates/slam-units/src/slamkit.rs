//! slamkit's JSON lines: features (units with durations) and tokens (`<Un3><Un49>…`), out and in.
//!
//! What is written equals Python's `json.dumps` byte for byte, as slamkit's own files do.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slam_dataset::schema::UnitSequence;
use slam_dataset::shard::{ShardError, ShardReader};
use slam_recipe::request::UnitsForm;

/// A file that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum SlamkitError {
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The JSON lines.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A line that is no unit sequence.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not JSON, or a field is missing or of another type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has neither form's units.
    #[error("neither 'units' nor 'audio_repr'")]
    NoUnits,
    /// Its lists differ in length.
    #[error("{units} units and {durations} durations")]
    Lengths {
        /// Units.
        units: usize,
        /// Durations.
        durations: usize,
    },
    /// `audio_repr` has something else than `<Un` and a number below 65,536 and `>`.
    #[error("'{0}' is no unit token")]
    Token(String),
}

/// A row as a line, without its end.
pub fn line(row: &UnitSequence, form: UnitsForm) -> String {
    let name = python_string(&row.id);
    match form {
        UnitsForm::Features => format!(
            "{{\"units\": {}, \"duration\": {}, \"file_name\": {name}}}",
            python_list(&row.units),
            python_list(&row.durations)
        ),
        UnitsForm::Tokens => {
            let mut tokens = String::new();
            for unit in &row.units {
                let _ = write!(tokens, "<Un{unit}>");
            }
            format!("{{\"file_name\": {name}, \"audio_repr\": \"{tokens}\"}}")
        }
    }
}

fn python_list(values: &[u16]) -> String {
    let values: Vec<String> = values.iter().map(u16::to_string).collect();
    format!("[{}]", values.join(", "))
}

/// A string as Python's `json.dumps` writes it: everything beyond ASCII escaped.
fn python_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// A line of either form; slamkit's other fields are ignored.
#[derive(Deserialize)]
struct Line {
    file_name: String,
    units: Option<Vec<u16>>,
    duration: Option<Vec<u16>>,
    audio_repr: Option<String>,
}

/// The row of a line. Tokens have no durations: each unit lasts one frame then.
///
/// # Errors
/// If the line is neither form, or its lists differ in length.
pub fn parse(line: &str, split: &str) -> Result<UnitSequence, LineError> {
    let Line { file_name, units, duration, audio_repr } = serde_json::from_str(line)?;
    let units = match (units, audio_repr) {
        (Some(units), _) => units,
        (None, Some(text)) => parse_tokens(&text)?,
        (None, None) => return Err(LineError::NoUnits),
    };
    let durations = duration.unwrap_or_else(|| vec![1; units.len()]);
    if durations.len() != units.len() {
        return Err(LineError::Lengths { units: units.len(), durations: durations.len() });
    }
    Ok(UnitSequence {
        id: file_name,
        units,
        durations,
        split: split.to_owned(),
        ..Default::default()
    })
}

fn parse_tokens(text: &str) -> Result<Vec<u16>, LineError> {
    let mut units = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let unit = rest.strip_prefix("<Un").and_then(|r| r.split_once('>'));
        let (number, after) =
            unit.ok_or_else(|| LineError::Token(rest.chars().take(12).collect()))?;
        units.push(number.parse().map_err(|_| LineError::Token(format!("<Un{number}>")))?);
        rest = after.trim_start();
    }
    Ok(units)
}

/// Writes the rows of unit shards as lines, in order.
///
/// # Errors
/// If a shard cannot be read or the disk refuses.
pub fn export(shards: &[PathBuf], form: UnitsForm, path: &Path) -> Result<u64, SlamkitError> {
    let file = |source| SlamkitError::File { path: path.to_owned(), source };
    let mut out = io::BufWriter::new(File::create(path).map_err(file)?);
    let mut rows = 0;
    for shard in shards {
        for row in ShardReader::<UnitSequence>::open(shard)? {
            writeln!(out, "{}", line(&row?, form)).map_err(file)?;
            rows += 1;
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error).map_err(file)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_reads_back(
            id in ".{0,20}",
            runs in prop::collection::vec((0u16..500, 1u16..9), 0..40),
        ) {
            let (units, durations): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
            let split = "train".to_owned();
            let row = UnitSequence { id, units, durations, split, ..Default::default() };
            prop_assert_eq!(&parse(&line(&row, UnitsForm::Features), "train").unwrap(), &row);
            let tokens = parse(&line(&row, UnitsForm::Tokens), "train").unwrap();
            prop_assert_eq!((tokens.id, tokens.units), (row.id, row.units));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = parse(&text, "train");
            let _ = parse_tokens(&text);
        }
    }

    #[test]
    fn names_are_escaped_as_python_does() {
        assert_eq!(python_string("a\"\\\n\u{7f}é😀"), r#""a\"\\\n\u007f\u00e9\ud83d\ude00""#);
    }

    #[test]
    fn a_line_that_is_no_sequence_says_why() {
        for (text, says) in [
            (r#"{"file_name": "a"}"#, "neither"),
            (r#"{"file_name": "a", "units": [1], "duration": []}"#, "1 units and 0 durations"),
            (r#"{"file_name": "a", "audio_repr": "<Un1>x"}"#, "'x'"),
            (r#"{"file_name": "a", "units": [70000]}"#, "70000"),
        ] {
            let error = parse(text, "train").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
