use std::collections::BTreeMap;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::vec;

use arrow::datatypes::SchemaRef;

use super::batches::{self, Batches};
use super::{Row, ShardError};

/// Rows decoded at once; bounds the reader's memory together with the row group's size.
const BATCH_ROWS: usize = 256;

/// Iterates over a shard's rows.
pub struct ShardReader<T: Row> {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    num_rows: u64,
    batches: Batches,
    current: vec::IntoIter<T>,
    next_row: u64,
    failed: bool,
    row: PhantomData<T>,
}

impl<T: Row> ShardReader<T> {
    /// Opens a shard.
    ///
    /// # Errors
    /// If the file is missing, is not Parquet, or has the dataset's old layout.
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        let (reader, schema) = Self::open_file(path)?;
        let has = |name: &str| schema.column_with_name(name).is_some();
        let lacks = T::new_columns().iter().find(|name| !has(name));
        // A file that lacks more than that is of another dataset; its rows say so.
        let ours = || {
            T::schema().fields().iter().all(|f| {
                f.is_nullable() || T::new_columns().contains(&f.name().as_str()) || has(f.name())
            })
        };
        match lacks {
            Some(column) if ours() => {
                let (dataset, remedy) = (T::DATASET, T::REMEDY);
                Err(ShardError::OldLayout { path: path.to_owned(), dataset, column, remedy })
            }
            Some(_) | None => Ok(reader),
        }
    }

    /// Opens a shard that may be of the dataset's old layout, from elsewhere: what its rows lack is null.
    ///
    /// # Errors
    /// If the file is missing or is not Parquet.
    pub fn open_any_layout(path: &Path) -> Result<Self, ShardError> {
        Ok(Self::open_file(path)?.0)
    }

    fn open_file(path: &Path) -> Result<(Self, SchemaRef), ShardError> {
        let file = File::open(path)
            .map_err(|source| ShardError::Open { path: path.to_owned(), source })?;
        let broken = |source| ShardError::Broken { path: path.to_owned(), source };
        let builder = batches::open(file).map_err(broken)?;
        let schema = builder.schema().clone();
        let file_metadata = builder.metadata().file_metadata();
        let metadata = file_metadata
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter_map(|kv| Some((kv.key.clone(), kv.value.clone()?)))
            .collect();
        let num_rows = u64::try_from(file_metadata.num_rows()).unwrap_or_default();
        let batches = Batches::of(builder.with_batch_size(BATCH_ROWS)).map_err(broken)?;
        let reader = Self {
            path: path.to_owned(),
            metadata,
            num_rows,
            batches,
            current: Vec::new().into_iter(),
            next_row: 0,
            failed: false,
            row: PhantomData,
        };
        Ok((reader, schema))
    }

    /// The file's key-value metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// How many rows the file says it has.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }
}

impl<T: Row> Iterator for ShardReader<T> {
    type Item = Result<T, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.current.next() {
                self.next_row += 1;
                return Some(Ok(row));
            }
            if self.failed {
                return None;
            }
            let result = match self.batches.next()? {
                Ok(batch) => T::from_batch(&batch).map_err(|e| ShardError::Schema {
                    path: self.path.clone(),
                    dataset: T::DATASET,
                    source: e.in_batch_from(self.next_row),
                }),
                Err(source) => Err(ShardError::Broken { path: self.path.clone(), source }),
            };
            match result {
                Ok(rows) => self.current = rows.into_iter(),
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
    }
}

/// All rows of a shard.
///
/// # Errors
/// If the file is missing, broken or of another dataset.
pub fn read<T: Row>(path: &Path) -> Result<Vec<T>, ShardError> {
    ShardReader::open(path)?.collect()
}
