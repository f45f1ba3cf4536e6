use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{Row, ShardError};

/// A row group ends when its rows reach this size, so that a reader never needs more than one such buffer.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Writes rows to a shard, a row group at a time.
pub struct ShardWriter<T: Row> {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    pending: Vec<T>,
    pending_bytes: usize,
    rows: u64,
}

impl<T: Row> ShardWriter<T> {
    /// Starts a file with key-value metadata.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, metadata: &BTreeMap<String, String>) -> Result<Self, ShardError> {
        let file = File::create(path)
            .map_err(|source| ShardError::Open { path: path.to_owned(), source })?;
        let mut pairs: Vec<_> = T::file_metadata().into_iter().chain(metadata.clone()).collect();
        pairs.sort();
        let pairs = pairs.into_iter().map(|(k, v)| KeyValue::new(k, v)).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(pairs));
        for name in T::plain_columns() {
            let column = ColumnPath::new(name.split('.').map(str::to_owned).collect());
            properties = properties
                .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                .set_column_encoding(column, Encoding::PLAIN);
        }
        // Readers of Arrow (pyarrow, `datasets`) look for it in the schema, others in the footer.
        let of_schema = T::file_metadata().into_iter().collect();
        let schema = Arc::new(T::schema().as_ref().clone().with_metadata(of_schema));
        let writer = ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties.build()))
            .map_err(|e| ShardError::write(path, e))?;
        Ok(Self { path: path.to_owned(), writer, pending: Vec::new(), pending_bytes: 0, rows: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If a full row group cannot be written.
    pub fn push(&mut self, row: T) -> Result<(), ShardError> {
        self.pending_bytes += row.size();
        self.pending.push(row);
        self.rows += 1;
        if self.pending_bytes >= ROW_GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ShardError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let write = |writer: &mut ArrowWriter<_>, rows: &[T]| -> Result<(), ParquetError> {
            writer.write(&T::to_batch(rows)?)?;
            writer.flush()
        };
        write(&mut self.writer, &self.pending).map_err(|e| ShardError::write(&self.path, e))?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Ends the file; returns its number of rows.
    ///
    /// # Errors
    /// If the last rows or the footer cannot be written.
    pub fn finish(mut self) -> Result<u64, ShardError> {
        self.flush()?;
        self.writer.close().map_err(|e| ShardError::write(&self.path, e))?;
        Ok(self.rows)
    }
}

/// Writes some rows as a whole shard; returns their number.
///
/// # Errors
/// If the file cannot be written.
pub fn write<T: Row + Clone>(
    path: &Path,
    rows: &[T],
    metadata: &BTreeMap<String, String>,
) -> Result<u64, ShardError> {
    let mut writer = ShardWriter::create(path, metadata)?;
    for row in rows {
        writer.push(row.clone())?;
    }
    writer.finish()
}
