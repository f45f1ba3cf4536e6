//! The column `item`: what an utterance is for, as a struct whose fields SQL and pandas read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use slam_recipe::item::{BenchmarkItem, Item, PairSegment, Segment, Side};

use super::columns;
use super::error::ColumnError;

/// The column's name.
pub(super) const ITEM: &str = "item";

/// The fields that hold text, in the column's order; `frequency` stands after the fifth.
const TEXT: [&str; 8] = ["suite", "pair", "voice", "kind", "subkind", "side", "file", "segment"];
const FREQUENCY: &str = "frequency";
const BEFORE_FREQUENCY: usize = 5;

fn fields() -> Fields {
    let mut fields: Vec<_> = TEXT.map(|name| Field::new(name, DataType::Utf8, true)).into();
    fields.insert(BEFORE_FREQUENCY, Field::new(FREQUENCY, DataType::UInt32, true));
    Fields::from(fields)
}

pub(super) fn item_field() -> Field {
    Field::new(ITEM, DataType::Struct(fields()), true)
}

/// The feature that Hugging Face `datasets` reads the column as.
pub(super) fn item_feature() -> serde_json::Value {
    let value = |dtype: &str| serde_json::json!({"dtype": dtype, "_type": "Value"});
    let mut feature: serde_json::Map<_, _> =
        TEXT.into_iter().map(|name| (name.to_owned(), value("string"))).collect();
    feature.insert(FREQUENCY.to_owned(), value("uint32"));
    feature.into()
}

/// The texts of an item, in the order of [`TEXT`].
fn texts(item: &Item) -> [Option<&str>; 8] {
    match item {
        Item::Benchmark(item) => {
            let BenchmarkItem { suite, pair, voice, kind, subkind, frequency: _, side, file } =
                item;
            let [suite, pair, voice, kind, subkind] =
                [suite, pair, voice, kind, subkind].map(|text| Some(text.as_str()));
            [suite, pair, voice, kind, subkind, Some(side.name()), file.as_deref(), None]
        }
        Item::Pair(PairSegment { pair, segment }) => {
            [None, Some(pair), None, None, None, None, None, Some(segment.name())]
        }
    }
}

/// Items as a column.
pub(super) fn item_column<'a>(
    rows: impl Iterator<Item = Option<&'a Item>> + Clone,
) -> Result<ArrayRef, ArrowError> {
    let mut columns: Vec<ArrayRef> = (0..TEXT.len())
        .map(|i| {
            let texts = rows.clone().map(|item| item.and_then(|item| texts(item)[i]));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let frequencies = rows.clone().map(|item| match item {
        Some(Item::Benchmark(item)) => item.frequency,
        Some(Item::Pair(_)) | None => None,
    });
    columns.insert(BEFORE_FREQUENCY, Arc::new(frequencies.collect::<UInt32Array>()));
    let known: NullBuffer = rows.map(|item| item.is_some()).collect::<Vec<_>>().into();
    Ok(Arc::new(StructArray::try_new(fields(), columns, Some(known))?))
}

/// The items of a batch; none where the column is missing.
///
/// # Errors
/// If a field is missing, is of another type, or has a value that it may not have.
pub(super) fn read_items(batch: &RecordBatch) -> Result<Vec<Option<Item>>, ColumnError> {
    let Some(array) = batch.column_by_name(ITEM) else {
        return Ok(vec![None; batch.num_rows()]);
    };
    let array: &StructArray = columns::typed(array, ITEM, "struct")?;
    let text = TEXT.map(|name| columns::field::<StringArray>(array, ITEM, name, "utf8"));
    let [suite, pair, voice, kind, subkind, side, file, segment] = text;
    let reader = Reader {
        suite: suite?,
        pair: pair?,
        voice: voice?,
        kind: kind?,
        subkind: subkind?,
        frequency: columns::field(array, ITEM, FREQUENCY, "u32")?,
        side: side?,
        file: file?,
        segment: segment?,
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| reader.item(row)).transpose()).collect()
}

/// The column's fields.
struct Reader<'a> {
    suite: &'a StringArray,
    pair: &'a StringArray,
    voice: &'a StringArray,
    kind: &'a StringArray,
    subkind: &'a StringArray,
    frequency: &'a UInt32Array,
    side: &'a StringArray,
    file: &'a StringArray,
    segment: &'a StringArray,
}

impl Reader<'_> {
    fn item(&self, row: usize) -> Result<Item, ColumnError> {
        let wrong = |name: &str, found: &str, expected| ColumnError::Value {
            column: format!("{ITEM}.{name}"),
            row: row as u64,
            found: found.to_owned(),
            expected,
        };
        let need = |array, name: &str| {
            text(array, row).map(str::to_owned).ok_or_else(|| ColumnError::Null {
                column: format!("{ITEM}.{name}"),
                row: row as u64,
            })
        };
        let or_empty = |array| text(array, row).unwrap_or_default().to_owned();
        match (text(self.side, row), text(self.segment, row)) {
            (Some(side), None) => Ok(Item::Benchmark(BenchmarkItem {
                suite: need(self.suite, "suite")?,
                pair: need(self.pair, "pair")?,
                voice: or_empty(self.voice),
                kind: or_empty(self.kind),
                subkind: or_empty(self.subkind),
                frequency: self.frequency.is_valid(row).then(|| self.frequency.value(row)),
                side: Side::named(side)
                    .ok_or_else(|| wrong("side", side, "positive or negative"))?,
                file: text(self.file, row).map(str::to_owned),
            })),
            (None, Some(segment)) => Ok(Item::Pair(PairSegment {
                pair: need(self.pair, "pair")?,
                segment: Segment::named(segment)
                    .ok_or_else(|| wrong("segment", segment, "prompt, chosen or rejected"))?,
            })),
            (Some(_), Some(segment)) => Err(wrong(
                "segment",
                segment,
                "null beside a side: an item is a suite's or a pair's",
            )),
            (None, None) => Err(ColumnError::Null {
                column: format!("{ITEM}.side and {ITEM}.segment"),
                row: row as u64,
            }),
        }
    }
}

fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}
