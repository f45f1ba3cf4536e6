use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use slam_recipe::item::PairItem;

use super::columns;
use super::error::ColumnError;
use super::pair_item::{ITEM, pair_item_column, pair_item_field, read_pair_items};
use crate::shard::Row;

/// A row of scores: a benchmark pair's two likelihoods, with and without the end token, from which any
/// convention's aggregate is computed without the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Which pair it is.
    pub item: PairItem,
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

const NLL: [&str; 4] = ["positive_nll", "negative_nll", "positive_eos_nll", "negative_eos_nll"];
const TOKENS: [&str; 2] = ["positive_tokens", "negative_tokens"];

impl Row for Score {
    const DATASET: &'static str = "scores";

    const REMEDY: &'static str = "evaluate the checkpoint again (evaluate)";

    fn schema() -> Arc<Schema> {
        let mut fields = vec![pair_item_field()];
        fields.extend(NLL.map(|name| Field::new(name, DataType::Float64, false)));
        fields.extend(TOKENS.map(|name| Field::new(name, DataType::UInt32, false)));
        Arc::new(Schema::new(fields))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let nll = |f: fn(&Self) -> f64| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<Float64Array>())
        };
        let tokens = |f: fn(&Self) -> u32| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<UInt32Array>())
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                pair_item_column(rows.iter().map(|r| &r.item))?,
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
        let [positive, negative, positive_eos, negative_eos] =
            NLL.map(|name| columns::f64s(batch, name));
        let (positive, negative) = (positive?, negative?);
        let (positive_eos, negative_eos) = (positive_eos?, negative_eos?);
        let [positive_tokens, negative_tokens] = TOKENS.map(|name| columns::u32s(batch, name));
        let (positive_tokens, negative_tokens) = (positive_tokens?, negative_tokens?);
        Ok(read_pair_items(batch)?
            .into_iter()
            .enumerate()
            .map(|(i, item)| Self {
                item,
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

    fn new_columns() -> &'static [&'static str] {
        &[ITEM]
    }
}
