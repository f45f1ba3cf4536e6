use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Float32Array, Float32Builder, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructArray, StructBuilder, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use super::item::{ITEM, item_column, item_feature, item_field, read_items};
use crate::shard::Row;
use slam_recipe::Item;

/// A row of a corpus: one utterance, 16 kHz mono.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utterance {
    /// Stable and unique within the dataset.
    pub id: String,
    /// A whole FLAC file, 16 kHz mono.
    pub flac: Vec<u8>,
    /// The file name that players see.
    pub path: String,
    /// Length in samples at 16 kHz.
    pub num_samples: u32,
    /// The source's sampling rate in Hz.
    pub source_rate_hz: u32,
    /// `train`, `validation`, …
    pub split: String,
    /// Who speaks, where known.
    pub speaker: Option<String>,
    /// What is said, where known.
    pub text: Option<String>,
    /// When each word is said, where known.
    pub words: Option<Vec<Word>>,
    /// What the utterance is for, where it is a benchmark's or a preference pair's.
    pub item: Option<Item>,
}

/// A word and when it is said, in seconds from the utterance's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word.
    pub word: String,
    /// Where it begins, in seconds.
    pub start: f32,
    /// Where it ends, in seconds.
    pub end: f32,
}

pub(super) fn word_fields() -> Fields {
    Fields::from(vec![
        Field::new("word", DataType::Utf8, false),
        Field::new("start", DataType::Float32, false),
        Field::new("end", DataType::Float32, false),
    ])
}

pub(super) fn words_field() -> Field {
    let item = Field::new_list_field(DataType::Struct(word_fields()), false);
    Field::new("words", DataType::List(Arc::new(item)), true)
}

pub(super) fn words_column<'a>(rows: impl Iterator<Item = Option<&'a [Word]>>) -> ArrayRef {
    let fields = word_fields();
    let builder = StructBuilder::new(
        fields.clone(),
        vec![
            Box::new(StringBuilder::new()),
            Box::new(Float32Builder::new()),
            Box::new(Float32Builder::new()),
        ],
    );
    let mut lists = ListBuilder::new(builder)
        .with_field(Field::new_list_field(DataType::Struct(fields), false));
    for words in rows {
        for w in words.unwrap_or_default() {
            let item = lists.values();
            if let Some(b) = item.field_builder::<StringBuilder>(0) {
                b.append_value(&w.word);
            }
            for (i, value) in [(1, w.start), (2, w.end)] {
                if let Some(b) = item.field_builder::<Float32Builder>(i) {
                    b.append_value(value);
                }
            }
            item.append(true);
        }
        lists.append(words.is_some());
    }
    Arc::new(lists.finish())
}

pub(super) fn read_words(batch: &RecordBatch) -> Result<Vec<Option<Vec<Word>>>, ColumnError> {
    let Some(lists) = columns::optional_lists(batch, "words")? else {
        return Ok(vec![None; batch.num_rows()]);
    };
    (0..lists.len())
        .map(|i| {
            if lists.is_null(i) {
                return Ok(None);
            }
            let item = lists.value(i);
            let item: &StructArray = columns::typed(&item, "words", "struct")?;
            let word: &StringArray = columns::field(item, "words", "word", "utf8")?;
            let start: &Float32Array = columns::field(item, "words", "start", "f32")?;
            let end: &Float32Array = columns::field(item, "words", "end", "f32")?;
            if word.null_count() + start.null_count() + end.null_count() > 0 {
                return Err(ColumnError::Null { column: "words".to_owned(), row: i as u64 });
            }
            Ok(Some(
                (0..word.len())
                    .map(|k| Word {
                        word: word.value(k).to_owned(),
                        start: start.value(k),
                        end: end.value(k),
                    })
                    .collect(),
            ))
        })
        .collect()
}

fn audio_fields() -> Fields {
    Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ])
}

impl Row for Utterance {
    const DATASET: &'static str = "corpus";

    fn schema() -> Arc<Schema> {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            // `datasets` takes a field for its own `Audio` only where it may be null, as all of its fields may.
            Field::new("audio", DataType::Struct(audio_fields()), true),
            Field::new("num_samples", DataType::UInt32, false),
            Field::new("source_rate", DataType::UInt32, false),
            Field::new("split", DataType::Utf8, false),
            Field::new("speaker", DataType::Utf8, true),
            Field::new("text", DataType::Utf8, true),
            words_field(),
            item_field(),
        ]))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        let bytes: ArrayRef =
            Arc::new(rows.iter().map(|r| Some(r.flac.as_slice())).collect::<BinaryArray>());
        let path = text(|r| Some(&r.path));
        let audio = StructArray::try_new(audio_fields(), vec![bytes, path], None)?;
        let number = |f: fn(&Self) -> u32| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<UInt32Array>())
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                text(|r| Some(&r.id)),
                Arc::new(audio),
                number(|r| r.num_samples),
                number(|r| r.source_rate_hz),
                text(|r| Some(&r.split)),
                text(|r| r.speaker.as_deref()),
                text(|r| r.text.as_deref()),
                words_column(rows.iter().map(|r| r.words.as_deref())),
                item_column(rows.iter().map(|r| r.item.as_ref()))?,
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let audio = columns::structs(batch, "audio")?;
        let bytes: &BinaryArray = columns::field(audio, "audio", "bytes", "binary")?;
        let path: &StringArray = columns::field(audio, "audio", "path", "utf8")?;
        let mut ids = columns::strings(batch, "id")?.into_iter();
        let num_samples = columns::u32s(batch, "num_samples")?;
        let source_rate = columns::u32s(batch, "source_rate")?;
        let mut split = columns::strings(batch, "split")?.into_iter();
        let mut speaker = columns::optional_strings(batch, "speaker")?.into_iter();
        let mut text = columns::optional_strings(batch, "text")?.into_iter();
        let mut words = read_words(batch)?.into_iter();
        let mut items = read_items(batch)?.into_iter();
        (0..batch.num_rows())
            .map(|i| {
                if bytes.is_null(i) {
                    let column = "audio.bytes".to_owned();
                    return Err(ColumnError::Null { column, row: i as u64 });
                }
                Ok(Self {
                    id: ids.next().unwrap_or_default(),
                    flac: bytes.value(i).to_vec(),
                    path: if path.is_null(i) { String::new() } else { path.value(i).to_owned() },
                    num_samples: num_samples[i],
                    source_rate_hz: source_rate[i],
                    split: split.next().unwrap_or_default(),
                    speaker: speaker.next().flatten(),
                    text: text.next().flatten(),
                    words: words.next().flatten(),
                    item: items.next().flatten(),
                })
            })
            .collect()
    }

    fn size(&self) -> usize {
        self.flac.len() + self.id.len() + self.text.as_ref().map_or(0, String::len) + 64
    }

    /// The features that Hugging Face `datasets` reads, so that it decodes the `audio` column.
    fn file_metadata() -> Vec<(String, String)> {
        let value = |dtype: &str| serde_json::json!({"dtype": dtype, "_type": "Value"});
        let features = serde_json::json!({"info": {"features": {
            "id": value("string"),
            "audio": {"sampling_rate": 16000, "_type": "Audio"},
            "num_samples": value("uint32"),
            "source_rate": value("uint32"),
            "split": value("string"),
            "speaker": value("string"),
            "text": value("string"),
            // The form that versions before and after 4.0 read.
            "words": [{"word": value("string"), "start": value("float32"), "end": value("float32")}],
            "item": item_feature(),
        }}});
        vec![("huggingface".to_owned(), slam_recipe::hash::canonical_json(&features))]
    }

    fn new_columns() -> &'static [&'static str] {
        &[ITEM]
    }

    fn plain_columns() -> &'static [&'static str] {
        &["audio.bytes"]
    }
}
