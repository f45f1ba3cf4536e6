//! ZeroSpeech's `gold.csv`: which file is which side of which item (Nguyen et al. 2020).
//!
//! Planning reads it to know a suite's recordings, evaluation to score a submission.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::source::Task;

use crate::item::{BenchmarkItem, Side};

/// A gold file.
#[derive(Clone, Debug, PartialEq)]
pub struct Gold {
    /// Its task, by its columns.
    pub task: Task,
    /// Its rows, in their order.
    pub rows: Vec<GoldRow>,
    /// Rows that cannot be used.
    pub refused: Vec<RefusedRow>,
}

/// A row: one file.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The side of the item that the file is; the suite is empty, the file is its stem, and both sides
    /// have the word's frequency.
    pub item: BenchmarkItem,
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The file's name, where it has one.
    pub id: String,
    /// Why.
    pub error: String,
}

/// A gold file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GoldError {
    /// It is missing or no CSV file.
    #[error("failed to read {path}: {source}; name the folder that has the suite's gold.csv")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// It lacks a column.
    #[error("{path} has no column '{column}'; it has {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns it has.
        found: String,
    },
}

/// Reads a gold file.
///
/// # Errors
/// If it is missing, no CSV file, or lacks a column.
pub fn read(path: &Path) -> Result<Gold, GoldError> {
    let broken = |source| GoldError::Read { path: path.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(broken)?;
    let header = reader.headers().map_err(broken)?.clone();
    let find = |name: &str| header.iter().position(|h| h.trim() == name);
    let need = |column: &'static str| {
        find(column).ok_or_else(|| GoldError::Column {
            path: path.to_owned(),
            column,
            found: header.iter().collect::<Vec<_>>().join(", "),
        })
    };
    let [filename, id, voice, correct] =
        [need("filename")?, need("id")?, need("voice")?, need("correct")?];
    let (task, first, second) = match find("frequency") {
        Some(frequency) => (Task::Lexical, frequency, None),
        None => (Task::Syntactic, need("type")?, Some(need("subtype")?)),
    };
    let mut gold = Gold { task, rows: Vec::new(), refused: Vec::new() };
    let mut seen = BTreeSet::new();
    // The word's frequency counts for the non-word, whose own column means nothing.
    let mut frequencies: BTreeMap<[String; 2], u32> = BTreeMap::new();
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(i as u64 + 2, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let name = field(filename);
        let stem = name.strip_suffix(".wav").unwrap_or(name).to_owned();
        let mut refuse =
            |error: String| gold.refused.push(RefusedRow { line, id: stem.clone(), error });
        if stem.is_empty() || field(id).is_empty() {
            refuse("the row has no filename or no id".into());
            continue;
        }
        let side = match field(correct) {
            "1" | "1.0" => Side::Positive,
            "0" | "0.0" => Side::Negative,
            other => {
                refuse(format!("'correct' is '{other}', expected 1 or 0"));
                continue;
            }
        };
        if !seen.insert(stem.clone()) {
            refuse("the file has a row already".into());
            continue;
        }
        let mut item = BenchmarkItem {
            suite: String::new(),
            pair: field(id).to_owned(),
            voice: field(voice).to_owned(),
            kind: String::new(),
            subkind: String::new(),
            frequency: None,
            side,
            file: Some(stem.clone()),
        };
        match second {
            Some(second) => {
                field(first).clone_into(&mut item.kind);
                field(second).clone_into(&mut item.subkind);
            }
            None if side == Side::Positive => match frequency_of(field(first)) {
                Ok(frequency) => {
                    if let Some(n) = frequency {
                        frequencies.insert([item.pair.clone(), item.voice.clone()], n);
                    }
                }
                Err(error) => {
                    refuse(error.to_string());
                    continue;
                }
            },
            None => {}
        }
        gold.rows.push(GoldRow { line, item });
    }
    for row in &mut gold.rows {
        let pair = [row.item.pair.clone(), row.item.voice.clone()];
        row.item.frequency = frequencies.get(&pair).copied();
    }
    Ok(gold)
}

/// A word's frequency that is no count.
#[derive(Debug, thiserror::Error)]
#[error("'frequency' is '{0}', expected a count")]
struct NoCount(String);

/// A count, perhaps written as pandas writes a column with gaps (`12.0`); `oov` is 0.
fn frequency_of(text: &str) -> Result<Option<u32>, NoCount> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.eq_ignore_ascii_case("oov") {
        return Ok(Some(0));
    }
    match text.parse::<f64>() {
        Ok(n) if n >= 0.0 && n.fract() == 0.0 && n <= f64::from(u32::MAX) => Ok(Some(n as u32)),
        _ => Err(NoCount(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gold(text: &str) -> Result<Gold, GoldError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gold.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_words_frequency_is_its_non_words_too() {
        let gold = gold(
            "filename,id,voice,frequency,word,phones,length,correct\n\
             aB,7,A,,wug,w u g,3,0\ncD.wav,7,A,12.0,bug,b u g,3,1\neF,8,B,oov,rag,r a g,3,1\n",
        )
        .unwrap();
        let item = |pair: &str, voice: &str, frequency, side, file: &str| BenchmarkItem {
            suite: String::new(),
            pair: pair.into(),
            voice: voice.into(),
            kind: String::new(),
            subkind: String::new(),
            frequency: Some(frequency),
            side,
            file: Some(file.into()),
        };
        let items: Vec<_> = gold.rows.into_iter().map(|r| r.item).collect();
        let expected = [
            item("7", "A", 12, Side::Negative, "aB"),
            item("7", "A", 12, Side::Positive, "cD"),
            item("8", "B", 0, Side::Positive, "eF"),
        ];
        assert_eq!(items, expected);
        assert_eq!(gold.task, Task::Lexical);
    }

    #[test]
    fn rows_that_cannot_be_used_are_named_by_their_line() {
        let gold = gold(
            "filename,id,voice,type,subtype,transcription,correct\n\
             a,1,A,agreement,noun,\"right, this\",1\nb,1,A,agreement,noun,wrong,2\n\
             a,2,A,agreement,noun,again,1\n,3,A,agreement,noun,nameless,1\nc,4\n",
        )
        .unwrap();
        assert_eq!((gold.task, gold.rows.len()), (Task::Syntactic, 1));
        let item = &gold.rows[0].item;
        assert_eq!(item.utterance_id(), "agreement/noun/1/A/positive");
        assert_eq!((item.frequency, item.file.as_deref()), (None, Some("a")));
        let lines: Vec<_> = gold.refused.iter().map(|r| r.line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
    }

    #[test]
    fn a_missing_column_or_file_is_an_error_that_names_it() {
        let error = gold("filename,id,correct\n").unwrap_err().to_string();
        assert!(error.contains("'voice'"), "{error}");
        let error = read(Path::new("/nowhere/gold.csv")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/gold.csv"), "{error}");
    }
}
