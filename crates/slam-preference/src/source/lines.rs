//! Reads slamkit's JSON lines of pairs: `{prompt,chosen,rejected}` with units and durations, or as
//! `audio_repr`.
//!
//! These pairs are already unitised, so the stages ingest and unitise do not read them. The recordings that
//! a line names need not exist.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;
use slam_dataset::{Context, Outcome};
use slam_recipe::WorkUnit;
use slam_recipe::params::PairParams;
use slam_recipe::source::SlamkitPairs;

use super::input::report;
use crate::error::PairError;
use crate::shard::{PairShard, Segment};

/// The number of lines between progress reports.
const REPORT_LINES: usize = 1024;

/// One line; slamkit's other fields are ignored.
#[derive(Deserialize)]
struct Line {
    prompt: Option<Value>,
    chosen: Option<Value>,
    rejected: Option<Value>,
    prompt_path: Option<String>,
    prompt_text: Option<String>,
    chosen_text: Option<String>,
    rejected_text: Option<String>,
}

/// Makes the pairs of one part of a file of lines. Each id contains the line's number, so two pairs with
/// the same prompt stay two pairs.
pub(crate) fn slamkit(
    source: &SlamkitPairs,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    params: &PairParams,
) -> Result<Outcome, PairError> {
    let (path, info) = match &unit.inputs[..] {
        [lines] => (context.path(lines), info(source)),
        [lines, shard] => (context.path(lines), tokeniser_of(&context.path(shard))?),
        other => {
            return Err(PairError::Inputs {
                found: other.len(),
                expected: "a file of JSON lines, and perhaps a unit shard",
            });
        }
    };
    let read = |source| PairError::Read { path: path.clone(), source };
    let open = || File::open(&path).map(|file| BufReader::with_capacity(1 << 20, file));
    let (index, count) = (u64::from(params.part.0), u64::from(params.part.1));
    // The part of a line depends on the total number of lines, so count the lines first.
    let total =
        if count == 1 { u64::MAX } else { count_lines(open().map_err(read)?).map_err(read)? };
    let bound = |i: u64| if count == 1 { i * total } else { total * i / count };
    let mut shard = PairShard::create(out, &info, &path, params.filter.max_auto_bleu2)?;
    for (number, text) in open().map_err(read)?.split(b'\n').enumerate() {
        let text = text.map_err(read)?;
        if number as u64 >= bound(index + 1) {
            break;
        }
        if (number as u64) < bound(index) || text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(&text) {
            Ok((name, [prompt, chosen, rejected])) => {
                shard.add(&format!("{name}@{}", number + 1), prompt, chosen, rejected)?;
            }
            Err(error) => shard.refuse(&format!("line {}", number + 1), error.to_string()),
        }
        if (number + 1) % REPORT_LINES == 0 {
            report(context, number + 1, 0)?;
        }
    }
    let outcome = shard.finish()?;
    Ok(outcome)
}

/// What stands for the unknown tokeniser.
fn info(lines: &SlamkitPairs) -> TokeniserInfo {
    TokeniserInfo::imported(&lines.tokeniser, lines.k, lines.units_per_second)
}

fn count_lines(reader: impl BufRead) -> std::io::Result<u64> {
    reader.split(b'\n').try_fold(0, |n, line| line.map(|_| n + 1))
}

fn tokeniser_of(shard: &Path) -> Result<TokeniserInfo, PairError> {
    let reader = ShardReader::<UnitSequence>::open(shard)?;
    TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| PairError::Tokeniser { path: shard.to_owned(), reason: e })
}

/// A line that is no pair.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(
        "no '{segment}' with units; a line that has paths alone is first read by slamkit's \
         preference_alignment_feature_extractor"
    )]
    NoUnits { segment: &'static str },
    #[error("'{segment}': {source}")]
    Units { segment: &'static str, source: UnitsError },
}

/// A segment whose units cannot be read.
#[derive(Debug, thiserror::Error)]
enum UnitsError {
    #[error("neither 'units' nor 'audio_repr'")]
    Missing,
    #[error("'units': {0}")]
    List(serde_json::Error),
    #[error("{units} units and {durations} durations")]
    Durations { units: usize, durations: usize },
    #[error("'{0}' is no unit token")]
    Token(String),
}

/// Returns a line's name (the stem of its prompt's recording, if it has one) and its segments.
fn parse(line: &[u8]) -> Result<(String, [Segment; 3]), LineError> {
    let line: Line = serde_json::from_slice(line)?;
    let name = line.prompt_path.as_deref().map_or("pair", |path| {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
        file.rsplit_once('.').map_or(file, |(stem, _)| stem)
    });
    let segment = |segment: &'static str, units: Option<Value>, text: Option<String>| {
        let units = units.ok_or(LineError::NoUnits { segment })?;
        let units = units_of(&units).map_err(|source| LineError::Units { segment, source })?;
        Ok::<_, LineError>(Segment { units, text })
    };
    let segments = [
        segment("prompt", line.prompt, line.prompt_text)?,
        segment("chosen", line.chosen, line.chosen_text)?,
        segment("rejected", line.rejected, line.rejected_text)?,
    ];
    Ok((name.to_owned(), segments))
}

/// Returns the units of `{"units": [3, 49], "duration": [2, 1]}`, of `{"audio_repr": "<Un3><Un49>"}`, or of
/// the text of `audio_repr`.
fn units_of(value: &Value) -> Result<Vec<u16>, UnitsError> {
    let repr = value.get("audio_repr").unwrap_or(value);
    if let Some(text) = repr.as_str() {
        return units_of_tokens(text);
    }
    let list = value.get("units").ok_or(UnitsError::Missing)?;
    let units = Vec::<u16>::deserialize(list).map_err(UnitsError::List)?;
    if let Some(durations) = value.get("duration").and_then(Value::as_array)
        && durations.len() != units.len()
    {
        return Err(UnitsError::Durations { units: units.len(), durations: durations.len() });
    }
    Ok(units)
}

fn units_of_tokens(text: &str) -> Result<Vec<u16>, UnitsError> {
    let mut units = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let token = rest.strip_prefix("<Un").and_then(|r| r.split_once('>'));
        let (unit, after) = token
            .and_then(|(number, after)| Some((number.parse().ok()?, after)))
            .ok_or_else(|| UnitsError::Token(rest.chars().take(12).collect()))?;
        units.push(unit);
        rest = after.trim_start();
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_a_line_are_read() {
        let line = br#"{"prompt_path": "a/b.c.wav", "prompt": {"units": [3, 49], "duration": [2, 1]},
            "chosen": {"audio_repr": "<Un3> <Un49>"}, "rejected": "<Un7>", "chosen_text": "x", "more": 1}"#;
        let (name, [prompt, chosen, rejected]) = parse(line).unwrap();
        assert_eq!((name.as_str(), prompt.units, prompt.text), ("b.c", vec![3, 49], None));
        assert_eq!((chosen.units, chosen.text.as_deref()), (vec![3, 49], Some("x")));
        assert_eq!(rejected.units, [7]);
    }

    #[test]
    fn a_line_that_is_no_pair_says_why() {
        for (line, says) in [
            ("{", "EOF"),
            (r#"{"prompt_path": "a.wav"}"#, "'prompt'"),
            (r#"{"prompt": {"units": [1], "duration": []}}"#, "1 units and 0 durations"),
            (r#"{"prompt": {"units": [70000]}}"#, "70000"),
            (r#"{"prompt": {"x": 1}}"#, "neither"),
            (r#"{"prompt": "<Un1><Unx>"}"#, "<Unx>"),
            (r#"{"prompt": "<Un1>", "chosen": "<Un2>"}"#, "'rejected'"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(text in any::<String>(), units in any::<String>()) {
            let _ = parse(text.as_bytes());
            let _ = units_of_tokens(&units);
        }
    }
}
