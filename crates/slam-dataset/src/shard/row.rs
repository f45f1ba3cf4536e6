use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::schema::ColumnError;

/// A row of a dataset.
pub trait Row: Sized {
    /// The dataset's name, for messages.
    const DATASET: &'static str;

    /// The dataset's columns.
    fn schema() -> Arc<Schema>;

    /// Rows as columns.
    ///
    /// # Errors
    /// If the rows do not fit the columns (a list of over 2³¹ values).
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;

    /// Columns as rows.
    ///
    /// # Errors
    /// If a column is missing, is of another type, or has a value that it may not have.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError>;

    /// About how many bytes the row takes; row groups are capped by their sum.
    fn size(&self) -> usize;

    /// Key-value metadata every file of this dataset carries.
    fn file_metadata() -> Vec<(String, String)> {
        Vec::new()
    }

    /// Columns that shards of the layout before this one lack.
    fn new_columns() -> &'static [&'static str] {
        &[]
    }

    /// What to do with a shard of the old layout, for messages.
    const REMEDY: &'static str = "prepare the data again (prepare-data)";

    /// Columns that hold data that is already compressed.
    fn plain_columns() -> &'static [&'static str] {
        &[]
    }
}
