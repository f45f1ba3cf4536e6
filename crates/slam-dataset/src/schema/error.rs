use arrow::datatypes::DataType;

/// Columns or values that are not those of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// A column, or a field of one, is missing.
    #[error("no column '{column}'")]
    Missing {
        /// The column.
        column: String,
    },
    /// A column has another type.
    #[error("column '{column}' is {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// The type that it has.
        found: DataType,
        /// The type that it should have, in words.
        expected: &'static str,
    },
    /// A value is null that has to be known.
    #[error("column '{column}' is null in row {row}")]
    Null {
        /// The column.
        column: String,
        /// The row, from 0.
        row: u64,
    },
    /// A value is none of those that the column may have.
    #[error("column '{column}' is '{found}' in row {row}, expected {expected}")]
    Value {
        /// The column.
        column: String,
        /// The row, from 0.
        row: u64,
        /// The value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A row's units and durations differ in number.
    #[error("'{id}' in row {row} has {units} units and {durations} durations")]
    Lengths {
        /// The row's id.
        id: String,
        /// The row, from 0.
        row: u64,
        /// How many units it has.
        units: usize,
        /// How many durations.
        durations: usize,
    },
}

impl ColumnError {
    /// The same of a batch whose first row is the shard's row `first`.
    #[must_use]
    pub fn in_batch_from(mut self, first: u64) -> Self {
        match &mut self {
            Self::Missing { .. } | Self::Type { .. } => {}
            Self::Null { row, .. } | Self::Value { row, .. } | Self::Lengths { row, .. } => {
                *row = row.saturating_add(first);
            }
        }
        self
    }
}
