use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use crate::shard::Row;

/// A row of a benchmark: two unit sequences, of which a good model finds the first likelier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BenchmarkPair {
    /// The suite, e.g. `swuggy`.
    pub suite: String,
    /// The pair; several voices may speak the same one.
    pub id: String,
    /// Who speaks.
    pub voice: String,
    /// The phenomenon, or empty.
    pub kind: String,
    /// Its part, or empty.
    pub subkind: String,
    /// How often the word occurs in the reference corpus, where known.
    pub frequency: Option<u32>,
    /// The positive's file in the suite's own layout, where submissions name it.
    pub positive_file: Option<String>,
    /// The same of the negative.
    pub negative_file: Option<String>,
    /// Units of the one to prefer.
    pub positive: Vec<u16>,
    /// Units of the other.
    pub negative: Vec<u16>,
}

impl BenchmarkPair {
    /// The entry of the file metadata that names the splits of the items, with commas.
    pub const SPLITS: &'static str = "slam.splits";
}

impl Row for BenchmarkPair {
    const DATASET: &'static str = "benchmark";

    fn schema() -> Arc<Schema> {
        let mut fields: Vec<_> = ["suite", "id", "voice", "kind", "subkind"]
            .map(|name| Field::new(name, DataType::Utf8, false))
            .into();
        fields.push(Field::new("frequency", DataType::UInt32, true));
        fields.push(Field::new("positive_file", DataType::Utf8, true));
        fields.push(Field::new("negative_file", DataType::Utf8, true));
        fields.push(Field::new("positive", columns::u16_list(), false));
        fields.push(Field::new("negative", columns::u16_list(), false));
        Arc::new(Schema::new(fields))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|r| Some(f(r))).collect::<StringArray>())
        };
        let file = |f: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                text(|r| &r.suite),
                text(|r| &r.id),
                text(|r| &r.voice),
                text(|r| &r.kind),
                text(|r| &r.subkind),
                Arc::new(rows.iter().map(|r| r.frequency).collect::<UInt32Array>()),
                file(|r| r.positive_file.as_deref()),
                file(|r| r.negative_file.as_deref()),
                columns::u16_lists(rows.iter().map(|r| r.positive.as_slice())),
                columns::u16_lists(rows.iter().map(|r| r.negative.as_slice())),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let texts = |name| columns::strings(batch, name).map(Vec::into_iter);
        let (mut suite, mut voice) = (texts("suite")?, texts("voice")?);
        let (mut kind, mut subkind) = (texts("kind")?, texts("subkind")?);
        let mut frequency = columns::optional_u32s(batch, "frequency")?.into_iter();
        // Shards from before the columns were there read as well.
        let files = |name| columns::optional_strings(batch, name).map(Vec::into_iter);
        let (mut positive_file, mut negative_file) =
            (files("positive_file")?, files("negative_file")?);
        let mut positive = columns::u16_vecs(batch, "positive")?.into_iter();
        let mut negative = columns::u16_vecs(batch, "negative")?.into_iter();
        Ok(texts("id")?
            .map(|id| Self {
                suite: suite.next().unwrap_or_default(),
                id,
                voice: voice.next().unwrap_or_default(),
                kind: kind.next().unwrap_or_default(),
                subkind: subkind.next().unwrap_or_default(),
                frequency: frequency.next().flatten(),
                positive_file: positive_file.next().flatten(),
                negative_file: negative_file.next().flatten(),
                positive: positive.next().unwrap_or_default(),
                negative: negative.next().unwrap_or_default(),
            })
            .collect())
    }

    fn size(&self) -> usize {
        2 * (self.positive.len() + self.negative.len()) + 128
    }
}
