//! Helpers that the tests of sources share: a small tree on disk, and a run of the ingest stage on it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use slam_audio::flac;
use slam_dataset::arrow::array::{
    ArrayRef, BinaryArray, Float64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray, StructBuilder,
};
use slam_dataset::arrow::datatypes::{DataType, Field, Fields, Schema};
use slam_dataset::parquet::arrow::ArrowWriter;
use slam_dataset::schema::Utterance;
use slam_dataset::{Context, Outcome, shard};
use slam_recipe::params::{IngestParams, Work};
use slam_recipe::work::Input;
use slam_recipe::{Key, ShardName, WorkUnit};

use crate::ingest::{IngestError, ingest};

/// Makes a FLAC file of 16 kHz whose samples are `level`.
pub(crate) fn tone(level: i16, samples: usize) -> Vec<u8> {
    let wave: Vec<i16> = (0..samples).map(|i| level.wrapping_mul((i % 7) as i16)).collect();
    flac::encode(&wave, slam_audio::RATE_HZ)
}

/// Makes a WAV file of 16-bit mono samples.
pub(crate) fn wav(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut out = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut out, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    out.into_inner()
}

/// Writes a file and the folders above it.
pub(crate) fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Runs the ingest stage on files of a tree.
pub(crate) fn try_run(
    root: &Path,
    mut params: Value,
    files: &[&str],
) -> Result<(Vec<Utterance>, Outcome), IngestError> {
    if params.get("files").is_none() {
        params["files"] = json!(files);
    }
    let params: IngestParams = serde_json::from_value(params).unwrap();
    let input = |name: &&str| Input { path: (*name).into(), key: Key::of_bytes(name.as_bytes()) };
    let unit = WorkUnit::new(
        Work::Ingest(params.clone()),
        ShardName::new(0, 1),
        files.iter().map(input).collect(),
        "out.parquet".into(),
    );
    let cancel = AtomicBool::new(false);
    let context = Context {
        root,
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools: BTreeMap::new(),
    };
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out.parquet");
    let outcome = ingest(&params, &unit, &context, &out)?;
    Ok((shard::read(&out).unwrap(), outcome))
}

/// Like [`try_run`], but the run must succeed.
pub(crate) fn run(root: &Path, params: Value, files: &[&str]) -> (Vec<Utterance>, Outcome) {
    try_run(root, params, files).unwrap_or_else(|e| panic!("{e}"))
}

/// Returns the ids of rows.
pub(crate) fn ids(rows: &[Utterance]) -> Vec<&str> {
    rows.iter().map(|r| r.id.as_str()).collect()
}

/// Makes a column of text.
pub(crate) fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Makes a column in the form of `Audio` in `datasets`: a struct of bytes and path.
pub(crate) fn audio(values: &[Option<&[u8]>]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let paths: Vec<_> = (0..values.len()).map(|i| Some(format!("{i}.wav"))).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(BinaryArray::from(values.to_vec())), Arc::new(StringArray::from(paths))];
    Arc::new(StructArray::new(fields, columns, None))
}

/// Makes a column in the form of sTinyStories' `aligned_text`: a list of structs of f64 times and words.
pub(crate) fn aligned(values: &[&[(&str, f64, f64)]]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("end_time", DataType::Float64, true),
        Field::new("start_time", DataType::Float64, true),
        Field::new("word", DataType::Utf8, true),
    ]);
    let builder = StructBuilder::new(
        fields,
        vec![
            Box::new(Float64Builder::new()),
            Box::new(Float64Builder::new()),
            Box::new(StringBuilder::new()),
        ],
    );
    let mut lists = ListBuilder::new(builder);
    for words in values {
        for (word, start, end) in *words {
            let item = lists.values();
            item.field_builder::<Float64Builder>(0).unwrap().append_value(*end);
            item.field_builder::<Float64Builder>(1).unwrap().append_value(*start);
            item.field_builder::<StringBuilder>(2).unwrap().append_value(word);
            item.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Writes a Parquet file.
pub(crate) fn parquet(root: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) {
    write(root, name, b"");
    let fields: Vec<_> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|c| c.1).collect());
    let file = File::create(root.join(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
    writer.write(&batch.unwrap()).unwrap();
    writer.close().unwrap();
}
