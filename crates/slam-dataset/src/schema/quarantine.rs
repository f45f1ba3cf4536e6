use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use crate::shard::Row;
use slam_recipe::stage::NoSuchStage;
use slam_recipe::work::Quarantined;

impl Row for Quarantined {
    const DATASET: &'static str = "quarantine";

    fn schema() -> Arc<Schema> {
        Arc::new(Schema::new(
            ["id", "source", "stage", "error"]
                .map(|name| Field::new(name, DataType::Utf8, false))
                .to_vec(),
        ))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|r| Some(f(r))).collect::<StringArray>())
        };
        let columns = vec![
            text(|r| &r.id),
            text(|r| &r.source),
            text(|r| r.stage.name()),
            text(|r| &r.error),
        ];
        RecordBatch::try_new(Self::schema(), columns)
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let texts = |name| columns::strings(batch, name).map(Vec::into_iter);
        let (mut source, mut stage, mut error) =
            (texts("source")?, texts("stage")?, texts("error")?);
        texts("id")?
            .enumerate()
            .map(|(row, id)| {
                let stage = stage.next().unwrap_or_default();
                Ok(Self {
                    id,
                    source: source.next().unwrap_or_default(),
                    stage: stage.parse().map_err(|_: NoSuchStage| ColumnError::Value {
                        column: "stage".to_owned(),
                        row: row as u64,
                        found: stage,
                        expected: "ingest, fit-kmeans, unitise, pair or benchmark",
                    })?,
                    error: error.next().unwrap_or_default(),
                })
            })
            .collect()
    }

    fn size(&self) -> usize {
        self.id.len() + self.source.len() + self.stage.name().len() + self.error.len()
    }
}
