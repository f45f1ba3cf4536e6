use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::columns;
use super::corpus::{Word, read_words, words_column, words_field};
use super::error::ColumnError;
use super::item::{ITEM, item_column, item_field, read_items};
use crate::shard::Row;
use slam_recipe::Item;
use slam_recipe::hash::Key;

/// A row of a unit dataset: an utterance as run-length-deduplicated units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitSequence {
    /// The utterance's id.
    pub id: String,
    /// Units without repeats, each in `0..k`.
    pub units: Vec<u16>,
    /// How many frames each unit lasts; as many as `units`.
    pub durations: Vec<u16>,
    /// `train`, `validation`, …
    pub split: String,
    /// What is said, where known.
    pub text: Option<String>,
    /// When each word is said, where known.
    pub words: Option<Vec<Word>>,
    /// What the utterance is for, where it is a benchmark's or a preference pair's.
    pub item: Option<Item>,
}

/// The tokeniser that made a unit shard: part of its file metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokeniserInfo {
    /// Hash of weights, layer, centroids and padding: equal identities give equal units.
    pub identity: Key,
    /// A name for people, e.g. `hubert-25hz`.
    pub name: String,
    /// The feature extractor's layer, where it has layers.
    pub layer: Option<u32>,
    /// How many units there are.
    pub k: u32,
    /// Frames per second before deduplication.
    pub units_per_second: f64,
}

/// A unit shard that does not say which tokeniser made it.
#[derive(Debug, thiserror::Error)]
pub enum NoTokeniser {
    /// Its file metadata has no such entry.
    #[error("the file metadata has no '{}'", TokeniserInfo::METADATA_KEY)]
    Missing,
    /// The entry is not of the form that it should have.
    #[error("'{}': {_0}", TokeniserInfo::METADATA_KEY)]
    Unreadable(serde_json::Error),
}

impl TokeniserInfo {
    /// The name of the metadata entry.
    pub const METADATA_KEY: &'static str = "slam.tokeniser";

    /// What stands for the unknown tokeniser of units that other programs made: files that are imported under
    /// one name belong together.
    pub fn imported(name: &str, k: u32, units_per_second: f64) -> Self {
        let params = serde_json::json!({"name": name, "k": k, "rate": units_per_second});
        Self {
            identity: Key::of_work("imported-tokeniser", 1, &params, []),
            name: name.to_owned(),
            layer: None,
            k,
            units_per_second,
        }
    }

    /// As file metadata.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let json = serde_json::to_value(self).unwrap_or_default();
        BTreeMap::from([(Self::METADATA_KEY.to_owned(), slam_recipe::hash::canonical_json(&json))])
    }

    /// From file metadata.
    ///
    /// # Errors
    /// If the entry is missing or unreadable: the shard does not say what made it.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, NoTokeniser> {
        let text = metadata.get(Self::METADATA_KEY).ok_or(NoTokeniser::Missing)?;
        serde_json::from_str(text).map_err(NoTokeniser::Unreadable)
    }
}

impl Row for UnitSequence {
    const DATASET: &'static str = "units";

    fn schema() -> Arc<Schema> {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("units", columns::u16_list(), false),
            Field::new("durations", columns::u16_list(), false),
            Field::new("split", DataType::Utf8, false),
            Field::new("text", DataType::Utf8, true),
            words_field(),
            item_field(),
        ]))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                text(|r| Some(&r.id)),
                columns::u16_lists(rows.iter().map(|r| r.units.as_slice())),
                columns::u16_lists(rows.iter().map(|r| r.durations.as_slice())),
                text(|r| Some(&r.split)),
                text(|r| r.text.as_deref()),
                words_column(rows.iter().map(|r| r.words.as_deref())),
                item_column(rows.iter().map(|r| r.item.as_ref()))?,
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let mut split = columns::strings(batch, "split")?.into_iter();
        let mut text = columns::optional_strings(batch, "text")?.into_iter();
        let mut words = read_words(batch)?.into_iter();
        let mut items = read_items(batch)?.into_iter();
        let units = columns::u16_vecs(batch, "units")?;
        let durations = columns::u16_vecs(batch, "durations")?;
        columns::strings(batch, "id")?
            .into_iter()
            .zip(units.into_iter().zip(durations))
            .enumerate()
            .map(|(row, (id, (units, durations)))| {
                if units.len() != durations.len() {
                    let (units, durations) = (units.len(), durations.len());
                    return Err(ColumnError::Lengths { id, row: row as u64, units, durations });
                }
                Ok(Self {
                    id,
                    units,
                    durations,
                    split: split.next().unwrap_or_default(),
                    text: text.next().flatten(),
                    words: words.next().flatten(),
                    item: items.next().flatten(),
                })
            })
            .collect()
    }

    fn new_columns() -> &'static [&'static str] {
        &[ITEM]
    }

    fn size(&self) -> usize {
        4 * self.units.len() + self.id.len() + self.text.as_ref().map_or(0, String::len) + 64
    }
}
