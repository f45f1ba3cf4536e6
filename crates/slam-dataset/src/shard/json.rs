//! Rows of any shard as JSON, for people who look into it.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use serde_json::{Map, Value, json};
use slam_recipe::event::Shape;

use super::ShardError;
use super::batches::{self, Batches};

/// A shard's shape and some of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt {
    /// Its shape.
    pub shape: Shape,
    /// The rows, by column. Bytes are given as their number: `{"bytes": 48213}`.
    pub rows: Vec<Map<String, Value>>,
}

/// `count` rows of a Parquet shard of any dataset, from row `first`.
///
/// # Errors
/// If the file is missing or is not Parquet.
pub fn excerpt(path: &Path, first: usize, count: usize) -> Result<Excerpt, ShardError> {
    let file =
        File::open(path).map_err(|source| ShardError::Open { path: path.to_owned(), source })?;
    let broken = |source| ShardError::Broken { path: path.to_owned(), source };
    let builder = batches::open(file).map_err(broken)?;
    let schema = builder.schema().clone();
    let parquet = builder.metadata().clone();
    let number = |n: i64| u64::try_from(n).unwrap_or_default();
    let shape = Shape {
        num_rows: number(parquet.file_metadata().num_rows()),
        row_groups: parquet
            .row_groups()
            .iter()
            .map(|g| (number(g.num_rows()), number(g.compressed_size())))
            .collect(),
        columns: schema
            .fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect(),
        metadata: parquet
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter(|kv| kv.key != "ARROW:schema")
            .map(|kv| (kv.key.clone(), kv.value.clone().into()))
            .collect(),
    };
    let mut excerpt = Excerpt { shape, rows: Vec::new() };
    let batches = Batches::of(builder.with_offset(first).with_limit(count)).map_err(broken)?;
    for batch in batches {
        let batch = batch.map_err(broken)?;
        excerpt.rows.extend((0..batch.num_rows()).map(|i| row(&batch, i)));
    }
    Ok(excerpt)
}

fn row(batch: &RecordBatch, i: usize) -> Map<String, Value> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    fields.map(|(field, column)| (field.name().clone(), value(column, i))).collect()
}

fn value(array: &ArrayRef, i: usize) -> Value {
    if array.is_null(i) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(i).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(i).into(),
        DataType::Binary => json!({"bytes": array.as_binary::<i32>().value(i).len()}),
        DataType::LargeBinary => json!({"bytes": array.as_binary::<i64>().value(i).len()}),
        DataType::Boolean => array.as_boolean().value(i).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(i).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(i).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(i).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(i).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).into(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(i).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(i).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(i);
            (0..items.len()).map(|k| value(&items, k)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let fields = fields.iter().zip(columns);
            Value::Object(fields.map(|(f, c)| (f.name().clone(), value(c, i))).collect())
        }
        other => Value::String(format!("<{other}>")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::{Utterance, Word};

    #[test]
    fn rows_of_a_shard_are_shown_with_bytes_as_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let row = |id: &str| Utterance {
            id: id.into(),
            flac: vec![0; 9],
            path: "a.flac".into(),
            num_samples: 5,
            source_rate_hz: 8000,
            split: "train".into(),
            words: Some(vec![Word { word: "a".into(), start: 0.0, end: 0.5 }]),
            ..Default::default()
        };
        let rows: Vec<_> = ["a", "b", "c"].map(row).to_vec();
        super::super::write(&path, &rows, &BTreeMap::new()).unwrap();
        let seen = excerpt(&path, 1, 1).unwrap();
        assert_eq!((seen.shape.num_rows, seen.shape.row_groups.len(), seen.rows.len()), (3, 1, 1));
        assert_eq!(seen.shape.columns[0], ("id".to_owned(), "Utf8".to_owned()));
        let row = &seen.rows[0];
        assert_eq!(row["id"], "b");
        assert_eq!(row["audio"], json!({"bytes": {"bytes": 9}, "path": "a.flac"}));
        assert_eq!((&row["num_samples"], &row["speaker"]), (&json!(5), &Value::Null));
        assert_eq!(row["words"], json!([{"word": "a", "start": 0.0, "end": 0.5}]));
        assert!(excerpt(&path, 7, 1).unwrap().rows.is_empty());
    }
}
