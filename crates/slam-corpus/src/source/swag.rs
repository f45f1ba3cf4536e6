//! SWAG and HellaSwag in their published form: situations with one correct ending and several incorrect
//! ones, as text. Each row is spoken as a preference pair: text → speech → pairs (Maimon et al. 2025,
//! section 3.4, for SWAG).

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::Deserialize;
use slam_dataset::rng::Rng;
use slam_recipe::item::{PairSegment, Segment};
use slam_recipe::source::{Engine, HellaSwag, PairSpeech, Swag};

use super::{Item, Items, Refused, Sound, Source, SourceError, UnitFile, UnitFiles};

/// A row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Situation {
    /// The row's number in the file, from 0.
    row: usize,
    prompt: String,
    /// The text before each ending.
    beginning: String,
    endings: Vec<String>,
    right: usize,
}

impl Source for Swag {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let read = |file: &UnitFile| read_swag(file, &self.gold_sources);
        Situations(&self.speech).items("swag", unit, &read)
    }

    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        Some((&self.speech.engine, self.speech.rate_wpm))
    }
}

impl Source for HellaSwag {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        Situations(&self.speech).items("hella-swag", unit, &read_hella_swag)
    }

    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        Some((&self.speech.engine, self.speech.rate_wpm))
    }
}

/// A row that is no situation.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Csv(#[from] csv::Error),
    #[error(transparent)]
    Json(serde_json::Error),
    #[error("label is '{0}', expected the number of the right ending; test sets have none")]
    Label(String),
    #[error("there is no prompt")]
    NoPrompt,
    #[error("ending {right} of {endings}")]
    Ending { right: usize, endings: usize },
    #[error("an ending is empty")]
    EmptyEnding,
}

/// A row, or the reason why it gives none.
type Rows = Vec<Result<Situation, Refused>>;

/// Rows of situations, spoken in a source's way.
struct Situations<'a>(&'a PairSpeech);

impl Situations<'_> {
    fn items(
        &self,
        kind: &'static str,
        unit: UnitFiles,
        read: &dyn Fn(&UnitFile) -> Result<Rows, SourceError>,
    ) -> Result<Items, SourceError> {
        if self.0.voices.is_empty() || !(1..=self.0.voices.len()).contains(&self.0.voices_per_pair)
        {
            return Err(SourceError::TooFewVoices {
                kind,
                per_pair: self.0.voices_per_pair,
                voices: self.0.voices.len(),
            });
        }
        let mut items = Vec::new();
        for file in &unit.files {
            let rows = read(file)?;
            let (index, count) = unit.part.unwrap_or((0, 1));
            let at = |i: u64| (rows.len() as u64 * i / count.max(1)) as usize;
            let (first, end) = (at(index), at(index + 1));
            let (_, stem) = file.entry.folder_and_stem();
            for row in rows.into_iter().take(end).skip(first) {
                match row {
                    Ok(s) => items.extend(self.pairs(stem, &file.entry.name, &s).map(Ok)),
                    Err(refused) => items.push(Err(refused)),
                }
            }
        }
        Ok(Items::new(items))
    }

    /// Returns the three utterances of a row, in each of its voices.
    fn pairs(&self, stem: &str, name: &str, s: &Situation) -> impl Iterator<Item = Item> {
        let mut rng = Rng::derive(self.0.seed, &[s.row as u64]);
        let mut voices = self.0.voices.clone();
        rng.shuffle(&mut voices);
        voices.truncate(self.0.voices_per_pair);
        let mut items = Vec::new();
        for voice in voices {
            // The incorrect ending is one of the other endings.
            let wrong = (s.right + 1 + rng.below(s.endings.len() - 1)) % s.endings.len();
            let continuation = |ending: usize| join(&s.beginning, &s.endings[ending]);
            let pair = if self.0.voices_per_pair == 1 {
                format!("{stem}-{:06}", s.row)
            } else {
                format!("{stem}-{:06}-{voice}", s.row)
            };
            for (segment, text) in [
                (Segment::Prompt, s.prompt.clone()),
                (Segment::Chosen, continuation(s.right)),
                (Segment::Rejected, continuation(wrong)),
            ] {
                let item = slam_recipe::Item::Pair(PairSegment { pair: pair.clone(), segment });
                let sound = Sound::Text { text: text.clone(), voice: voice.clone() };
                let origin = format!("{name} row {}", s.row);
                items.push(Item {
                    speaker: Some(voice.clone()),
                    text: Some(text),
                    ..Item::of(item, origin, &self.0.split, sound)
                });
            }
        }
        items.into_iter()
    }
}

fn join(first: &str, second: &str) -> String {
    format!("{first} {second}").trim().to_owned()
}

const SWAG_COLUMNS: [&str; 8] =
    ["sent1", "sent2", "gold-source", "ending0", "ending1", "ending2", "ending3", "label"];

/// Returns the rows of SWAG's CSV whose `gold-source` is wanted.
fn read_swag(file: &UnitFile, gold_sources: &[String]) -> Result<Rows, SourceError> {
    let no_table = |source| SourceError::Csv { path: file.path.clone(), source };
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_path(&file.path).map_err(no_table)?;
    let header = reader.headers().map_err(no_table)?.clone();
    let mut at = [0; 8];
    for (at, name) in at.iter_mut().zip(SWAG_COLUMNS) {
        *at = header.iter().position(|h| h.trim() == name).ok_or_else(|| SourceError::Column {
            path: file.path.clone(),
            column: name.to_owned(),
            found: header.iter().map(str::to_owned).collect(),
        })?;
    }
    let mut rows = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let origin = format!("{} row {row}", file.entry.name);
        let refuse = |error: RowError| Err(Refused::new(&origin, &origin, error.to_string()));
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                let fatal = e.is_io_error();
                rows.push(refuse(e.into()));
                if fatal {
                    break;
                }
                continue;
            }
        };
        let [sent1, sent2, gold, e0, e1, e2, e3, label] =
            at.map(|i| record.get(i).unwrap_or_default().trim());
        if !gold_sources.is_empty() && !gold_sources.iter().any(|g| g == gold) {
            continue;
        }
        let endings = [e0, e1, e2, e3].map(str::to_owned).to_vec();
        rows.push(situation(row, sent1, sent2, endings, label).or_else(refuse));
    }
    Ok(rows)
}

/// A line of HellaSwag.
#[derive(Deserialize)]
struct HellaSwagLine {
    ctx_a: String,
    ctx_b: String,
    endings: Vec<String>,
    #[serde(default)]
    label: Option<serde_json::Value>,
}

/// Returns the rows of HellaSwag's JSON lines.
fn read_hella_swag(file: &UnitFile) -> Result<Rows, SourceError> {
    let error = |source| SourceError::Read { path: file.path.clone(), source };
    let reader = BufReader::new(File::open(&file.path).map_err(error)?);
    let mut rows = Vec::new();
    for (row, line) in reader.split(b'\n').enumerate() {
        let line = line.map_err(error)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = serde_json::from_slice::<HellaSwagLine>(&line).map_err(RowError::Json);
        let read = read.and_then(|line| {
            let endings = line.endings.iter().map(|e| without_tags(e)).collect();
            let label = match &line.label {
                Some(serde_json::Value::String(s)) => s.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            situation(row, &without_tags(&line.ctx_a), &without_tags(&line.ctx_b), endings, &label)
        });
        let origin = format!("{} row {row}", file.entry.name);
        rows.push(read.map_err(|error| Refused::new(&origin, &origin, error.to_string())));
    }
    Ok(rows)
}

fn situation(
    row: usize,
    prompt: &str,
    beginning: &str,
    endings: Vec<String>,
    label: &str,
) -> Result<Situation, RowError> {
    let right: usize = label.trim().parse().map_err(|_| RowError::Label(label.to_owned()))?;
    if prompt.is_empty() {
        return Err(RowError::NoPrompt);
    }
    if endings.len() < 2 || right >= endings.len() {
        return Err(RowError::Ending { right, endings: endings.len() });
    }
    if endings.iter().any(|e| e.trim().is_empty()) {
        return Err(RowError::EmptyEnding);
    }
    let (prompt, beginning) = (prompt.to_owned(), beginning.to_owned());
    Ok(Situation { row, prompt, beginning, endings, right })
}

/// Removes the mark-up from a text of WikiHow: `[header]`, `[step]` and so on are not spoken. A title ends
/// like a sentence.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tagged)) = rest.split_once('[') {
        let Some((tag, after)) = tagged.split_once(']') else { break };
        out.push_str(before);
        if tag == "title" && out.trim_end().ends_with(char::is_alphanumeric) {
            out.truncate(out.trim_end().len());
            out.push_str(". ");
        }
        rest = after;
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
