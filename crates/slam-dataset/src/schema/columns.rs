//! Columns to values and back, with errors that name the column and the row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float32Array, Float64Array, ListArray, ListBuilder, RecordBatch, StringArray,
    StructArray, UInt16Array, UInt16Builder, UInt32Array,
};
use arrow::datatypes::{DataType, Field};

use super::error::ColumnError;

/// A list-of-u16 column's type.
pub(super) fn u16_list() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt16, false)))
}

/// Lists as a column.
pub(super) fn u16_lists<'a>(lists: impl Iterator<Item = &'a [u16]>) -> ArrayRef {
    let mut builder = ListBuilder::new(UInt16Builder::new())
        .with_field(Field::new_list_field(DataType::UInt16, false));
    for list in lists {
        builder.values().append_slice(list);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn column<'a, A: 'static>(
    batch: &'a RecordBatch,
    name: &str,
    expected: &'static str,
) -> Result<&'a A, ColumnError> {
    let missing = || ColumnError::Missing { column: name.to_owned() };
    typed(batch.column_by_name(name).ok_or_else(missing)?, name, expected)
}

/// A field of a struct column.
pub(super) fn field<'a, A: 'static>(
    array: &'a StructArray,
    column: &str,
    name: &str,
    expected: &'static str,
) -> Result<&'a A, ColumnError> {
    let column = format!("{column}.{name}");
    match array.column_by_name(name) {
        Some(array) => typed(array, &column, expected),
        None => Err(ColumnError::Missing { column }),
    }
}

/// An array as its type.
pub(super) fn typed<'a, A: 'static>(
    array: &'a ArrayRef,
    name: &str,
    expected: &'static str,
) -> Result<&'a A, ColumnError> {
    array.as_any().downcast_ref().ok_or_else(|| ColumnError::Type {
        column: name.to_owned(),
        found: array.data_type().clone(),
        expected,
    })
}

fn no_nulls(array: &dyn Array, name: &str) -> Result<(), ColumnError> {
    match (0..array.len()).find(|&i| array.is_null(i)) {
        Some(i) => Err(ColumnError::Null { column: name.to_owned(), row: i as u64 }),
        None => Ok(()),
    }
}

/// A column of strings without nulls.
pub(super) fn strings(batch: &RecordBatch, name: &str) -> Result<Vec<String>, ColumnError> {
    let array: &StringArray = column(batch, name, "utf8")?;
    no_nulls(array, name)?;
    Ok(array.iter().flatten().map(str::to_owned).collect())
}

/// A column of strings that may be null or missing.
pub(super) fn optional_strings(
    batch: &RecordBatch,
    name: &str,
) -> Result<Vec<Option<String>>, ColumnError> {
    if batch.column_by_name(name).is_none() {
        return Ok(vec![None; batch.num_rows()]);
    }
    let array: &StringArray = column(batch, name, "utf8")?;
    Ok(array.iter().map(|s| s.map(str::to_owned)).collect())
}

/// A column of u32 without nulls.
pub(super) fn u32s(batch: &RecordBatch, name: &str) -> Result<Vec<u32>, ColumnError> {
    let array: &UInt32Array = column(batch, name, "u32")?;
    no_nulls(array, name)?;
    Ok(array.values().to_vec())
}

/// A column of f32 that may be null.
pub(super) fn optional_f32s(
    batch: &RecordBatch,
    name: &str,
) -> Result<Vec<Option<f32>>, ColumnError> {
    let array: &Float32Array = column(batch, name, "f32")?;
    Ok(array.iter().collect())
}

/// A column of f64 without nulls.
pub(super) fn f64s(batch: &RecordBatch, name: &str) -> Result<Vec<f64>, ColumnError> {
    let array: &Float64Array = column(batch, name, "f64")?;
    no_nulls(array, name)?;
    Ok(array.values().to_vec())
}

/// A column of lists of u16 without nulls.
pub(super) fn u16_vecs(batch: &RecordBatch, name: &str) -> Result<Vec<Vec<u16>>, ColumnError> {
    let array: &ListArray = column(batch, name, "list of u16")?;
    no_nulls(array, name)?;
    (0..array.len())
        .map(|i| {
            let item = array.value(i);
            let values: &UInt16Array = typed(&item, name, "list of u16")?;
            if values.null_count() > 0 {
                return Err(ColumnError::Null { column: name.to_owned(), row: i as u64 });
            }
            Ok(values.values().to_vec())
        })
        .collect()
}

/// A struct column without nulls.
pub(super) fn structs<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a StructArray, ColumnError> {
    let array: &StructArray = column(batch, name, "struct")?;
    no_nulls(array, name)?;
    Ok(array)
}

/// A list column that may be missing.
pub(super) fn optional_lists<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<Option<&'a ListArray>, ColumnError> {
    if batch.column_by_name(name).is_none() {
        return Ok(None);
    }
    column(batch, name, "list").map(Some)
}
