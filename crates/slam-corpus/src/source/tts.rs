//! The texts of a table, synthesised to speech.

use std::sync::Arc;

use slam_recipe::Key;
use slam_recipe::item::{PairSegment, Segment};
use slam_recipe::source::{Engine, Tts};

use super::spoken_swag::{SEGMENTS, text_column};
use super::table::{TextTable, is_text};
use super::{Item, Items, Refused, Sound, Source, SourceError, UnitFiles, parquet};

const OPTIONAL: [&str; 4] = ["id", "voice", "speaker", "split"];

impl Source for Tts {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        if self.voices.is_empty() {
            return Err(SourceError::NoVoices { kind: "tts" });
        }
        let reader = Reader(self.clone());
        let (tables, parquets): (Vec<_>, Vec<_>) =
            unit.files.into_iter().partition(|f| is_text(&f.entry.name));
        let mut items = Items::new(Vec::new());
        for file in tables {
            let table = TextTable::read(&file)?;
            let columns = reader.columns(&|name| table.columns.iter().any(|c| c == name));
            let columns = columns.ok_or_else(|| SourceError::NoText {
                path: file.path.clone(),
                column: reader.0.text.clone(),
                found: table.columns.clone(),
            })?;
            let rows = part(table.rows.len(), unit.part);
            let (tts, name) = (reader.clone(), file.entry.name);
            let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem).to_owned();
            let stream = table.rows.into_iter().enumerate().skip(rows.0).take(rows.1 - rows.0);
            let stream = stream.flat_map(move |(i, row)| match row {
                Ok(row) => {
                    let get = |column: &str| row.get(column).cloned();
                    tts.row(&columns, &get, format!("{stem}/{i:07}"), &format!("{name} row {i}"))
                }
                Err(refused) => vec![Err(refused)],
            });
            items.total += (rows.1 - rows.0) as u64;
            items.stream = Box::new(items.stream.chain(stream));
        }
        let tts = reader.clone();
        let more = parquet::read(
            UnitFiles { files: parquets, ..unit },
            |table| {
                let columns = reader.columns(&|name| table.has(name));
                let Some(columns) = columns else {
                    return Err(table.without(&self.text));
                };
                let mut names: Vec<String> = columns.0.iter().map(|c| c.1.clone()).collect();
                names.extend(OPTIONAL.iter().filter(|n| table.has(n)).map(|&n| n.to_owned()));
                Ok((names.clone(), (columns, names)))
            },
            move |batch, (columns, names)| {
                let values = names
                    .iter()
                    .map(|name| Ok((name.as_str(), batch.strings(name)?)))
                    .collect::<Result<Vec<_>, parquet::ColumnError>>()?;
                Ok((0..batch.len())
                    .flat_map(|i| {
                        let get = |column: &str| {
                            values.iter().find(|v| v.0 == column).and_then(|v| v.1[i].clone())
                        };
                        tts.row(columns, &get, batch.id(i), &batch.origin(i))
                    })
                    .collect())
            },
        )?;
        items.total += more.total;
        items.stream = Box::new(items.stream.chain(more.stream));
        Ok(items)
    }

    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        Some((&self.engine, self.rate_wpm))
    }
}

/// The columns of a row's texts, each with its segment of a pair.
#[derive(Clone)]
struct Columns(Arc<[(Option<Segment>, String)]>);

impl std::ops::Deref for Columns {
    type Target = [(Option<Segment>, String)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A source's tables as items.
#[derive(Clone)]
struct Reader(Tts);

impl Reader {
    fn columns(&self, has: &dyn Fn(&str) -> bool) -> Option<Columns> {
        if has(&self.0.text) {
            return Some(Columns(Arc::new([(None, self.0.text.clone())])));
        }
        let segments = SEGMENTS.map(|(segment, name)| (Some(segment), text_column(name)));
        segments.iter().all(|(_, c)| has(c)).then(|| Columns(Arc::new(segments)))
    }

    /// Returns the utterances of one row.
    fn row(
        &self,
        columns: &Columns,
        get: &dyn Fn(&str) -> Option<String>,
        default_id: String,
        origin: &str,
    ) -> Vec<Result<Item, Refused>> {
        let id = get("id").unwrap_or(default_id);
        let voice = get("voice").or_else(|| get("speaker")).unwrap_or_else(|| self.voice(&id));
        let split = get("split").unwrap_or_else(|| self.0.split.clone());
        let item = |(segment, column): &(Option<_>, String)| {
            let item = segment
                .map(|segment| slam_recipe::Item::Pair(PairSegment { pair: id.clone(), segment }));
            let id = item.as_ref().map_or_else(|| id.clone(), slam_recipe::Item::utterance_id);
            let Some(text) = get(column).filter(|text| !text.trim().is_empty()) else {
                return Err(Refused::new(id, origin, format!("column '{column}' is empty")));
            };
            let sound = Sound::Text { text: text.clone(), voice: voice.clone() };
            Ok(Item {
                speaker: Some(voice.clone()),
                text: Some(text),
                item,
                ..Item::new(id, origin, &split, sound)
            })
        };
        columns.iter().map(item).collect()
    }

    /// Returns a voice for a row that names none.
    fn voice(&self, id: &str) -> String {
        let hash = u64::from_str_radix(&Key::of_bytes(id.as_bytes()).as_str()[..15], 16);
        let i = hash.unwrap_or(0) % self.0.voices.len().max(1) as u64;
        self.0.voices.get(i as usize).cloned().unwrap_or_default()
    }
}

/// Returns the i-th of n equal parts of some rows: the first row and the row after the last.
fn part(rows: usize, part: Option<(u64, u64)>) -> (usize, usize) {
    let (i, n) = part.unwrap_or((0, 1));
    let at = |i: u64| (rows as u128 * u128::from(i) / u128::from(n.max(1))) as usize;
    (at(i).min(rows), at(i + 1).min(rows))
}

#[cfg(test)]
mod tests;
