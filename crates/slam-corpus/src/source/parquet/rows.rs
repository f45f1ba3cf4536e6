use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use slam_dataset::arrow::datatypes::Schema;
use slam_dataset::parquet::arrow::ProjectionMask;
use slam_dataset::parquet::errors::ParquetError;
use slam_dataset::shard::batches::{self, Batches};

use super::{Batch, ColumnError};
use crate::source::{Item, Items, Refused, SourceError, UnitFile, UnitFiles};

/// The number of rows in memory at once. A row of audio is a megabyte or two.
const BATCH_ROWS: usize = 16;

/// A Parquet file's columns.
pub(in crate::source) struct Table {
    path: PathBuf,
    schema: Arc<Schema>,
}

impl Table {
    pub(in crate::source) fn has(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    /// Fails if `column` is not one of the columns. The error lists the columns.
    pub(in crate::source) fn need(&self, column: &str) -> Result<(), SourceError> {
        if self.has(column) { Ok(()) } else { Err(self.without(column)) }
    }

    /// The error that says that `column` is missing, and which columns there are.
    pub(in crate::source) fn without(&self, column: &str) -> SourceError {
        SourceError::Column {
            path: self.path.clone(),
            column: column.to_owned(),
            found: self.schema.fields().iter().map(|f| f.name().clone()).collect(),
        }
    }
}

/// A file of which nothing, or no further row, can be read.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("not a readable Parquet file: {0}; fetch it again")]
    NoTable(ParquetError),
    #[error("the file is broken: {0}; fetch it again")]
    Broken(ParquetError),
}

/// Converts a batch of rows to items. The error says what is wrong with a column.
type Convert<C> = dyn Fn(&Batch, &C) -> Result<Vec<Result<Item, Refused>>, ColumnError> + Send;

/// Reads the rows of a unit's files as items.
///
/// `choose` names the columns to read from a file, and anything else that `convert` needs to know about it.
/// A file that is not Parquet, or that is broken from some row on, is refused. The other files are read.
pub(in crate::source) fn read<C: Send + 'static>(
    unit: UnitFiles,
    choose: impl Fn(&Table) -> Result<(Vec<String>, C), SourceError>,
    convert: impl Fn(&Batch, &C) -> Result<Vec<Result<Item, Refused>>, ColumnError> + Send + 'static,
) -> Result<Items, SourceError> {
    let mut files = Vec::new();
    let mut total = 0;
    for file in unit.files {
        match open(&file, unit.part, &choose)? {
            Ok(opened) => {
                total += opened.rows;
                files.push(Ok(opened));
            }
            Err(error) => {
                let name = &file.entry.name;
                files.push(Err(Refused::new(name, name, error.to_string())));
            }
        }
    }
    let stream = Stream {
        files: files.into_iter(),
        current: None,
        ready: Vec::new().into_iter(),
        convert: Box::new(convert),
    };
    Ok(Items { total, stream: Box::new(stream) })
}

struct Opened<C> {
    name: String,
    reader: Batches,
    /// The row in the file where the next batch begins.
    row: u64,
    /// The number of rows of this unit's part.
    rows: u64,
    chosen: C,
}

fn open<C>(
    file: &UnitFile,
    part: Option<(u64, u64)>,
    choose: &impl Fn(&Table) -> Result<(Vec<String>, C), SourceError>,
) -> Result<Result<Opened<C>, FileError>, SourceError> {
    let read = |source| SourceError::Read { path: file.path.clone(), source };
    let opened = File::open(&file.path).map_err(read)?;
    let builder = match batches::open(opened) {
        Ok(builder) => builder,
        Err(e) => return Ok(Err(FileError::NoTable(e))),
    };
    let table = Table { path: file.path.clone(), schema: Arc::clone(builder.schema()) };
    let (columns, chosen) = choose(&table)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
    let (i, n) = part.unwrap_or((0, 1));
    let at = |i: u64| u64::try_from(u128::from(rows) * u128::from(i) / u128::from(n.max(1)));
    let (first, end) = (at(i).unwrap_or(rows), at(i + 1).unwrap_or(rows));
    let mask =
        ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
    let builder = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .with_offset(first as usize)
        .with_limit((end - first) as usize);
    Ok(match Batches::of(builder) {
        Ok(reader) => Ok(Opened {
            name: file.entry.name.clone(),
            reader,
            row: first,
            rows: end - first,
            chosen,
        }),
        Err(e) => Err(FileError::NoTable(e)),
    })
}

struct Stream<C> {
    files: std::vec::IntoIter<Result<Opened<C>, Refused>>,
    current: Option<Opened<C>>,
    ready: std::vec::IntoIter<Result<Item, Refused>>,
    convert: Box<Convert<C>>,
}

impl<C> Stream<C> {
    /// Returns the next items of a file; `None` at its end.
    fn fill(&mut self, mut file: Opened<C>) -> Option<Vec<Result<Item, Refused>>> {
        let refuse = |row: u64, error: &dyn std::error::Error| {
            let origin = format!("{} from row {row}", file.name);
            let id = format!("{}/{row:07}", stem(&file.name));
            Some(vec![Err(Refused::new(id, origin, error.to_string()))])
        };
        let rows = match file.reader.next()? {
            Ok(rows) => rows,
            // Rows after a broken page cannot be found.
            Err(e) => return refuse(file.row, &FileError::Broken(e)),
        };
        let batch = Batch::new(rows, stem(&file.name).to_owned(), file.name.clone(), file.row);
        match (self.convert)(&batch, &file.chosen) {
            Ok(items) => {
                file.row += batch.len() as u64;
                self.current = Some(file);
                Some(items)
            }
            Err(e) => refuse(file.row, &e),
        }
    }
}

/// Returns a relative path without its ending.
fn stem(name: &str) -> &str {
    name.strip_suffix(".parquet").unwrap_or(name)
}

impl<C> Iterator for Stream<C> {
    type Item = Result<Item, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.next() {
                return Some(item);
            }
            let file = match self.current.take() {
                Some(file) => file,
                None => match self.files.next()? {
                    Ok(file) => file,
                    Err(refused) => return Some(Err(refused)),
                },
            };
            if let Some(items) = self.fill(file) {
                self.ready = items.into_iter();
            }
        }
    }
}
