use slam_dataset::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float32Array, RecordBatch, StringArray, StructArray,
};
use slam_dataset::arrow::compute::cast;
use slam_dataset::arrow::datatypes::DataType;
use slam_dataset::arrow::error::ArrowError;
use slam_dataset::schema::Word;

/// A column that does not hold what its source needs.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum ColumnError {
    #[error("there is no column '{0}'")]
    Missing(String),
    #[error("column '{0}' is no list of structs of word and times")]
    NoWords(String),
    #[error("column '{0}' has no fields word, start_time and end_time")]
    NoTimes(String),
    #[error("column '{column}': {source}")]
    Type { column: String, source: ArrowError },
}

/// A batch of a file's rows, and their position in the file.
pub(in crate::source) struct Batch {
    rows: RecordBatch,
    /// The file's name without its ending. Ids use it.
    stem: String,
    /// The file's name.
    name: String,
    /// The number of the first row in the file.
    first: u64,
}

/// A row's recording.
pub(in crate::source) enum Audio {
    /// A whole audio file.
    Bytes(Vec<u8>),
    /// The name of an audio file.
    Path(String),
}

/// The names of the fields of a word and its times: sTinyStories' and ours.
const WORD_FIELDS: [[&str; 3]; 2] = [["word", "start_time", "end_time"], ["word", "start", "end"]];

impl Batch {
    pub(super) fn new(rows: RecordBatch, stem: String, name: String, first: u64) -> Self {
        Self { rows, stem, name, first }
    }

    pub(in crate::source) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Returns a row's id if the table has none: file and row.
    pub(in crate::source) fn id(&self, i: usize) -> String {
        format!("{}/{:07}", self.stem, self.first + i as u64)
    }

    /// Returns the file's name.
    pub(in crate::source) fn name(&self) -> &str {
        &self.name
    }

    /// Returns where a row comes from.
    pub(in crate::source) fn origin(&self, i: usize) -> String {
        format!("{} row {}", self.name, self.first + i as u64)
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, ColumnError> {
        self.rows.column_by_name(name).ok_or_else(|| ColumnError::Missing(name.to_owned()))
    }

    /// Reads a column of text, or of numbers as text.
    pub(in crate::source) fn strings(
        &self,
        name: &str,
    ) -> Result<Vec<Option<String>>, ColumnError> {
        strings(self.column(name)?, name)
    }

    /// Reads a column of recordings.
    pub(in crate::source) fn audio(&self, name: &str) -> Result<Vec<Option<Audio>>, ColumnError> {
        let column = self.column(name)?;
        let Some(audio) = column.as_struct_opt() else {
            return Ok(binary(column, name)?.into_iter().map(|b| b.map(Audio::Bytes)).collect());
        };
        let bytes = match audio.column_by_name("bytes") {
            Some(bytes) => binary(bytes, name)?,
            None => vec![None; audio.len()],
        };
        let paths = match audio.column_by_name("path") {
            Some(path) => strings(path, name)?,
            None => vec![None; audio.len()],
        };
        let of = |(bytes, path): (Option<Vec<u8>>, Option<String>)| {
            bytes.map(Audio::Bytes).or_else(|| path.map(Audio::Path))
        };
        Ok(bytes.into_iter().zip(paths).map(of).collect())
    }

    /// Reads a column of words and their times in seconds. Words without times are left out.
    pub(in crate::source) fn words(
        &self,
        name: &str,
    ) -> Result<Vec<Option<Vec<Word>>>, ColumnError> {
        let wrong = || ColumnError::NoWords(name.to_owned());
        let lists = self.column(name)?.as_list_opt::<i32>().ok_or_else(wrong)?;
        (0..lists.len())
            .map(|i| {
                if lists.is_null(i) {
                    return Ok(None);
                }
                let item = lists.value(i);
                words(item.as_struct_opt().ok_or_else(wrong)?, name).map(Some)
            })
            .collect()
    }
}

fn words(list: &StructArray, name: &str) -> Result<Vec<Word>, ColumnError> {
    let found = WORD_FIELDS.iter().find_map(|names| {
        let [word, start, end] = names.map(|field| list.column_by_name(field));
        Some((word?, start?, end?))
    });
    let Some((word, start, end)) = found else {
        return Err(ColumnError::NoTimes(name.to_owned()));
    };
    let (word, start, end) = (strings(word, name)?, seconds(start, name)?, seconds(end, name)?);
    let timed = word.into_iter().zip(start.iter().zip(&end));
    Ok(timed
        .filter_map(|(word, (start, end))| Some(Word { word: word?, start: start?, end: end? }))
        .collect())
}

fn converted(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef, ColumnError> {
    cast(column, to).map_err(|source| ColumnError::Type { column: name.to_owned(), source })
}

fn strings(column: &ArrayRef, name: &str) -> Result<Vec<Option<String>>, ColumnError> {
    let column = converted(column, &DataType::Utf8, name)?;
    let column: &StringArray = column.as_string();
    Ok(column.iter().map(|s| s.map(str::to_owned)).collect())
}

fn binary(column: &ArrayRef, name: &str) -> Result<Vec<Option<Vec<u8>>>, ColumnError> {
    let column = converted(column, &DataType::Binary, name)?;
    let column: &BinaryArray = column.as_binary();
    Ok(column.iter().map(|b| b.map(<[u8]>::to_vec)).collect())
}

fn seconds(column: &ArrayRef, name: &str) -> Result<Float32Array, ColumnError> {
    let column = converted(column, &DataType::Float32, name)?;
    Ok(column.as_primitive::<slam_dataset::arrow::datatypes::Float32Type>().clone())
}
