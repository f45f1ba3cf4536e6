//! The column `item` of benchmark pairs and of their scores: which pair of a suite a row is of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use slam_recipe::item::PairItem;

use super::columns;
use super::error::ColumnError;

/// The column's name.
pub(super) const ITEM: &str = "item";
/// The fields that every row has.
const NAMES: [&str; 5] = ["suite", "pair", "voice", "kind", "subkind"];
const FREQUENCY: &str = "frequency";
const FILES: [&str; 2] = ["positive_file", "negative_file"];

fn fields() -> Fields {
    let mut fields: Vec<_> = NAMES.map(|name| Field::new(name, DataType::Utf8, false)).into();
    fields.push(Field::new(FREQUENCY, DataType::UInt32, true));
    fields.extend(FILES.map(|name| Field::new(name, DataType::Utf8, true)));
    Fields::from(fields)
}

pub(super) fn pair_item_field() -> Field {
    Field::new(ITEM, DataType::Struct(fields()), false)
}

/// The pairs of rows as a column.
pub(super) fn pair_item_column<'a>(
    items: impl Iterator<Item = &'a PairItem> + Clone,
) -> Result<ArrayRef, ArrowError> {
    let name = |f: fn(&PairItem) -> &str| -> ArrayRef {
        Arc::new(items.clone().map(|item| Some(f(item))).collect::<StringArray>())
    };
    let file = |f: fn(&PairItem) -> Option<&str>| -> ArrayRef {
        Arc::new(items.clone().map(f).collect::<StringArray>())
    };
    let columns = vec![
        name(|item| &item.suite),
        name(|item| &item.pair),
        name(|item| &item.voice),
        name(|item| &item.kind),
        name(|item| &item.subkind),
        Arc::new(items.clone().map(|item| item.frequency).collect::<UInt32Array>()),
        file(|item| item.positive_file.as_deref()),
        file(|item| item.negative_file.as_deref()),
    ];
    // An empty shard has no column to take the number of rows from.
    let rows = items.count();
    Ok(Arc::new(StructArray::try_new_with_length(fields(), columns, None, rows)?))
}

/// The pairs of a batch's rows.
///
/// # Errors
/// If the column or a field of it is missing, is of another type, or is null where it must be known.
pub(super) fn read_pair_items(batch: &RecordBatch) -> Result<Vec<PairItem>, ColumnError> {
    let array = columns::structs(batch, ITEM)?;
    let text = |name| columns::field::<StringArray>(array, ITEM, name, "utf8");
    let [suite, pair, voice, kind, subkind] = NAMES.map(text);
    let names = [suite?, pair?, voice?, kind?, subkind?];
    let frequency: &UInt32Array = columns::field(array, ITEM, FREQUENCY, "u32")?;
    let [positive_file, negative_file] = FILES.map(text);
    let (positive_file, negative_file) = (positive_file?, negative_file?);
    let file = |array: &StringArray, row| array.is_valid(row).then(|| array.value(row).to_owned());
    (0..array.len())
        .map(|row| {
            if let Some(i) = names.iter().position(|array| array.is_null(row)) {
                let column = format!("{ITEM}.{}", NAMES[i]);
                return Err(ColumnError::Null { column, row: row as u64 });
            }
            let [suite, pair, voice, kind, subkind] =
                names.map(|array| array.value(row).to_owned());
            Ok(PairItem {
                suite,
                pair,
                voice,
                kind,
                subkind,
                frequency: frequency.is_valid(row).then(|| frequency.value(row)),
                positive_file: file(positive_file, row),
                negative_file: file(negative_file, row),
            })
        })
        .collect()
}
