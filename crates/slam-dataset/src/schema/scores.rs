use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use crate::shard::Row;

/// A row of scores: a benchmark pair's two likelihoods, with and without the end token, from which any
/// convention's aggregate is computed without the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// The suite.
    pub suite: String,
    /// The pair.
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
    /// Sum of the negative log-likelihoods of the positive's units, in nats, without the final `<S>`.
    pub positive_nll: f64,
    /// The same of the negative.
    pub negative_nll: f64,
    /// Negative log-likelihood of the positive's final `<S>`, in nats.
    pub positive_eos_nll: f64,
    /// The same of the negative.
    pub negative_eos_nll: f64,
    /// Units of the positive.
    pub positive_tokens: u32,
    /// Units of the negative.
    pub negative_tokens: u32,
}

const TEXT: [&str; 5] = ["suite", "id", "voice", "kind", "subkind"];
const FILES: [&str; 2] = ["positive_file", "negative_file"];
const NLL: [&str; 4] = ["positive_nll", "negative_nll", "positive_eos_nll", "negative_eos_nll"];
const TOKENS: [&str; 2] = ["positive_tokens", "negative_tokens"];

impl Row for Score {
    const DATASET: &'static str = "scores";

    fn schema() -> Arc<Schema> {
        let mut fields: Vec<_> = TEXT.map(|name| Field::new(name, DataType::Utf8, false)).into();
        fields.push(Field::new("frequency", DataType::UInt32, true));
        fields.extend(FILES.map(|name| Field::new(name, DataType::Utf8, true)));
        fields.extend(NLL.map(|name| Field::new(name, DataType::Float64, false)));
        fields.extend(TOKENS.map(|name| Field::new(name, DataType::UInt32, false)));
        Arc::new(Schema::new(fields))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|r| Some(f(r))).collect::<StringArray>())
        };
        let file = |f: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        let nll = |f: fn(&Self) -> f64| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<Float64Array>())
        };
        let tokens = |f: fn(&Self) -> u32| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<UInt32Array>())
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
                nll(|r| r.positive_nll),
                nll(|r| r.negative_nll),
                nll(|r| r.positive_eos_nll),
                nll(|r| r.negative_eos_nll),
                tokens(|r| r.positive_tokens),
                tokens(|r| r.negative_tokens),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let texts = |name| columns::strings(batch, name).map(Vec::into_iter);
        let [suite, id, voice, kind, subkind] = TEXT.map(texts);
        let [mut suite, mut voice, mut kind, mut subkind] = [suite?, voice?, kind?, subkind?];
        // Shards from before the columns were there read as well.
        let [positive_file, negative_file] =
            FILES.map(|name| columns::optional_strings(batch, name).map(Vec::into_iter));
        let (mut positive_file, mut negative_file) = (positive_file?, negative_file?);
        let [positive, negative, positive_eos, negative_eos] =
            NLL.map(|name| columns::f64s(batch, name));
        let (positive, negative) = (positive?, negative?);
        let (positive_eos, negative_eos) = (positive_eos?, negative_eos?);
        let [positive_tokens, negative_tokens] = TOKENS.map(|name| columns::u32s(batch, name));
        let (positive_tokens, negative_tokens) = (positive_tokens?, negative_tokens?);
        let mut frequency = columns::optional_u32s(batch, "frequency")?.into_iter();
        Ok(id?
            .enumerate()
            .map(|(i, id)| Self {
                suite: suite.next().unwrap_or_default(),
                id,
                voice: voice.next().unwrap_or_default(),
                kind: kind.next().unwrap_or_default(),
                subkind: subkind.next().unwrap_or_default(),
                frequency: frequency.next().flatten(),
                positive_file: positive_file.next().flatten(),
                negative_file: negative_file.next().flatten(),
                positive_nll: positive[i],
                negative_nll: negative[i],
                positive_eos_nll: positive_eos[i],
                negative_eos_nll: negative_eos[i],
                positive_tokens: positive_tokens[i],
                negative_tokens: negative_tokens[i],
            })
            .collect())
    }

    fn size(&self) -> usize {
        160
    }
}
