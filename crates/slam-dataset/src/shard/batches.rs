//! Batches of Parquet files that come from strangers: a damaged file is an error, and never a panic.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

/// Runs a part of the Parquet reader, which takes some figures of a file's footer for true and panics where
/// they are not.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // A reader that panicked is not used again: its error ends the file.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("its footer or a page is damaged".into())))
}

/// Reads a file's footer.
///
/// Columns have the types of Parquet's own schema; the Arrow schema that writers leave beside it says nothing that
/// is needed here.
///
/// # Errors
/// If the file is not Parquet.
pub fn open(file: File) -> Result<ParquetRecordBatchReaderBuilder<File>, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(|| ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
}

/// The batches of a file; none after the first error.
pub struct Batches(Option<ParquetRecordBatchReader>);

impl Batches {
    /// Begins to read what was chosen.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn of(builder: ParquetRecordBatchReaderBuilder<File>) -> Result<Self, ParquetError> {
        guarded(|| builder.build()).map(|batches| Self(Some(batches)))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batches = self.0.as_mut()?;
        let next = guarded(|| {
            let batch = batches.next().transpose();
            batch.map_err(|e| ParquetError::ArrowError(e.to_string()))
        });
        if next.is_err() {
            self.0 = None;
        }
        next.transpose()
    }
}
