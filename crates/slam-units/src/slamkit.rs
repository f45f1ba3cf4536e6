//! slamkit's JSON lines: features (units with durations) and tokens (`<Un3><Un49>…`), out and in.
//!
//! What is written equals Python's `json.dumps` byte for byte, as slamkit's own files do.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::{Quarantined, WorkError};
use slam_dataset::{Context, Outcome, WorkUnit, stage};

/// Which of slamkit's two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `{"units": [3, 49], "duration": [2, 1], "file_name": "a"}`
    Features,
    /// `{"file_name": "a", "audio_repr": "<Un3><Un49>"}`
    Tokens,
}

/// A file that cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum SlamkitError {
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Parameters that this stage does not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The JSON lines.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No line of the file can be used.
    #[error("{path} holds no unit sequences; its first line: {message}")]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first line.
        message: String,
    },
}

/// A row as a line, without its end.
pub fn line(row: &UnitSequence, form: Form) -> String {
    let name = python_string(&row.id);
    match form {
        Form::Features => format!(
            "{{\"units\": {}, \"duration\": {}, \"file_name\": {name}}}",
            python_list(&row.units),
            python_list(&row.durations)
        ),
        Form::Tokens => {
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
/// If the line is neither form, or its lists differ in length; the message says which.
pub fn parse(line: &str, split: &str) -> Result<UnitSequence, String> {
    let Line { file_name, units, duration, audio_repr } =
        serde_json::from_str(line).map_err(|e| e.to_string())?;
    let units = match (units, audio_repr) {
        (Some(units), _) => units,
        (None, Some(text)) => parse_tokens(&text)?,
        (None, None) => return Err("neither 'units' nor 'audio_repr'".into()),
    };
    let durations = duration.unwrap_or_else(|| vec![1; units.len()]);
    if durations.len() != units.len() {
        return Err(format!("{} units and {} durations", units.len(), durations.len()));
    }
    Ok(UnitSequence {
        id: file_name,
        units,
        durations,
        split: split.to_owned(),
        ..Default::default()
    })
}

fn parse_tokens(text: &str) -> Result<Vec<u16>, String> {
    let mut units = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let unit = rest.strip_prefix("<Un").and_then(|r| r.split_once('>'));
        let (number, after) = unit.ok_or_else(|| {
            format!("'{}' is no unit token", rest.chars().take(12).collect::<String>())
        })?;
        units.push(number.parse().map_err(|_| format!("'<Un{number}>' is no unit token"))?);
        rest = after.trim_start();
    }
    Ok(units)
}

/// Writes the rows of unit shards as lines, in order.
///
/// # Errors
/// If a shard cannot be read or the disk refuses.
pub fn export(shards: &[PathBuf], form: Form, path: &Path) -> Result<u64, SlamkitError> {
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

/// What an import is told of the units, as the lines do not say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    /// The tokeniser's name.
    pub tokeniser: String,
    /// How many units it has.
    pub k: u32,
    /// Frames a second before deduplication.
    pub units_per_second: f64,
    /// The split of every row.
    pub split: String,
}

impl ImportParams {
    /// What stands for the unknown tokeniser: files that are imported under one name belong together.
    pub fn info(&self) -> TokeniserInfo {
        TokeniserInfo::imported(&self.tokeniser, self.k, self.units_per_second)
    }
}

/// Makes a unit shard of a JSON-lines file. A line that is no sequence, or has a unit that the tokeniser
/// does not, goes to quarantine.
///
/// # Errors
/// If the file cannot be read, no line of it can be used, or the disk refuses.
pub fn import(unit: &WorkUnit, context: &Context<'_>, out: &Path) -> Result<Outcome, SlamkitError> {
    let params: ImportParams = unit.params()?;
    let path = unit.inputs.first().map(|i| context.path(i)).unwrap_or_default();
    let file = |source| SlamkitError::File { path: path.clone(), source };
    let reader = BufReader::new(File::open(&path).map_err(file)?);
    let mut writer = ShardWriter::create(out, &params.info().to_metadata())?;
    let mut outcome = Outcome::default();
    let (mut units, mut frames) = (0, 0.0);
    for (number, text) in reader.lines().enumerate() {
        let text = text.map_err(file)?;
        if text.trim().is_empty() {
            continue;
        }
        let row = parse(&text, &params.split).and_then(|row| {
            match row.units.iter().find(|u| u32::from(**u) >= params.k) {
                Some(unit) => Err(format!("unit {unit} of a tokeniser with {}", params.k)),
                None => Ok(row),
            }
        });
        match row {
            Ok(row) => {
                units += row.units.len();
                frames += row.durations.iter().map(|d| f64::from(*d)).sum::<f64>();
                writer.push(row)?;
            }
            Err(error) => outcome.quarantined.push(Quarantined {
                id: format!("line {}", number + 1),
                source: path.display().to_string(),
                stage: stage::UNITISE.name.to_owned(),
                error,
            }),
        }
    }
    outcome.rows = writer.finish()?;
    if let (0, Some(first)) = (outcome.rows, outcome.quarantined.first()) {
        return Err(SlamkitError::Nothing { path, message: first.error.clone() });
    }
    outcome.totals.insert("units".to_owned(), units as f64);
    outcome.totals.insert("audio_seconds".to_owned(), frames / params.units_per_second);
    Ok(outcome)
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
            prop_assert_eq!(&parse(&line(&row, Form::Features), "train").unwrap(), &row);
            let tokens = parse(&line(&row, Form::Tokens), "train").unwrap();
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
            let error = parse(text, "train").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
