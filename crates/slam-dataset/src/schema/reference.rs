use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use crate::shard::Row;

/// A row of a pair shard's side file: how likely a reference model finds the pair's continuations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferenceLogProbs {
    /// The pair's id.
    pub id: String,
    /// Sum of the log-probabilities of the chosen continuation's tokens, in nats.
    pub chosen: f64,
    /// The same of the rejected continuation.
    pub rejected: f64,
}

impl Row for ReferenceLogProbs {
    const DATASET: &'static str = "reference";

    fn schema() -> Arc<Schema> {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("chosen", DataType::Float64, false),
            Field::new("rejected", DataType::Float64, false),
        ]))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let numbers = |f: fn(&Self) -> f64| -> ArrayRef {
            Arc::new(rows.iter().map(|r| Some(f(r))).collect::<Float64Array>())
        };
        let ids: ArrayRef = Arc::new(rows.iter().map(|r| Some(&r.id)).collect::<StringArray>());
        let columns = vec![ids, numbers(|r| r.chosen), numbers(|r| r.rejected)];
        RecordBatch::try_new(Self::schema(), columns)
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let ids = columns::strings(batch, "id")?.into_iter();
        let chosen = columns::f64s(batch, "chosen")?.into_iter();
        let rejected = columns::f64s(batch, "rejected")?;
        Ok(ids
            .zip(chosen.zip(rejected))
            .map(|(id, (chosen, rejected))| Self { id, chosen, rejected })
            .collect())
    }

    fn size(&self) -> usize {
        self.id.len() + 16
    }
}
