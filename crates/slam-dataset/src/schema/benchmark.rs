use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use slam_recipe::item::PairItem;

use super::columns;
use super::error::ColumnError;
use super::pair_item::{ITEM, pair_item_column, pair_item_field, read_pair_items};
use crate::shard::Row;

/// A row of a benchmark: two unit sequences, of which a good model finds the first likelier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BenchmarkPair {
    /// Which pair it is.
    pub item: PairItem,
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
        Arc::new(Schema::new(vec![
            pair_item_field(),
            Field::new("positive", columns::u16_list(), false),
            Field::new("negative", columns::u16_list(), false),
        ]))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            Self::schema(),
            vec![
                pair_item_column(rows.iter().map(|r| &r.item))?,
                columns::u16_lists(rows.iter().map(|r| r.positive.as_slice())),
                columns::u16_lists(rows.iter().map(|r| r.negative.as_slice())),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let units = |name| columns::u16_vecs(batch, name);
        let (positive, negative) = (units("positive")?, units("negative")?);
        let items = read_pair_items(batch)?;
        let rows = items.into_iter().zip(positive).zip(negative);
        Ok(rows.map(|((item, positive), negative)| Self { item, positive, negative }).collect())
    }

    fn size(&self) -> usize {
        2 * (self.positive.len() + self.negative.len()) + 128
    }

    fn new_columns() -> &'static [&'static str] {
        &[ITEM]
    }
}
