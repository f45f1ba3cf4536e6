//! SpokenSwag from its published form to pair shards: every stage in between, on a file made here.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use slam_audio::flac;
use slam_dataset::arrow::array::{
    ArrayRef, BinaryArray, Float64Array, RecordBatch, StringArray, StructArray,
};
use slam_dataset::arrow::datatypes::{DataType, Field};
use slam_dataset::parquet::arrow::ArrowWriter;
use slam_dataset::schema::PreferencePair;
use slam_dataset::{Context, shard};
use slam_pipeline::Plan;
use slam_recipe::{Pipeline, Receipt, Stage};

use crate::stages;

const ROWS: usize = 12;
/// The row without a rejected recording.
const BROKEN: usize = 3;
/// The row whose text repeats itself.
const REPETITIVE: usize = 5;

/// Half a second of a tone that rises, from a start of its own.
fn sound(i: usize) -> Vec<u8> {
    let wave: Vec<i16> = (0..8000)
        .map(|t| {
            let hertz = (150 + 70 * i + 300 * (t / 1000)) as f64;
            ((t as f64 / 16_000.0 * hertz * std::f64::consts::TAU).sin() * 9000.0) as i16
        })
        .collect();
    flac::encode(&wave, slam_audio::RATE_HZ)
}

/// A column of recordings as `datasets` writes it: structs of `bytes` and `path`.
fn audio(sounds: &[Option<Vec<u8>>]) -> ArrayRef {
    let bytes: BinaryArray = sounds.iter().map(|s| s.as_deref()).collect();
    let paths: StringArray = sounds.iter().map(|_| Some("x.flac")).collect();
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    Arc::new(StructArray::from(vec![
        (field("bytes", DataType::Binary), Arc::new(bytes) as ArrayRef),
        (field("path", DataType::Utf8), Arc::new(paths) as ArrayRef),
    ]))
}

fn spoken_swag(folder: &Path) {
    let text = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..ROWS).map(|i| Some(of(i))).collect::<StringArray>())
    };
    let sounds = |first: usize, broken: bool| {
        let of = |i: usize| (!broken || i != BROKEN).then(|| sound(first + i));
        audio(&(0..ROWS).map(of).collect::<Vec<_>>())
    };
    let chosen = |i| match i {
        REPETITIVE => "the cat and the cat and the cat".to_owned(),
        i => format!("She sings song {i}."),
    };
    let batch = RecordBatch::try_from_iter([
        ("speaker", text(&|_| "af_heart".into())),
        ("prompt_text", text(&|i| format!("A woman {i} stands up."))),
        ("chosen_text", text(&chosen)),
        ("rejected_text", text(&|i| format!("She is tree {i}."))),
        ("prompt", sounds(0, false)),
        ("chosen", sounds(12, false)),
        ("rejected", sounds(24, true)),
        ("auto_bleu2", Arc::new(Float64Array::from(vec![0.0; ROWS])) as ArrayRef),
    ])
    .unwrap();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let file = File::create(data.join("train-00000-of-00001.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn spoken_swags_parquet_becomes_pairs_with_texts_receipts_and_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    spoken_swag(&folder.path().join("SpokenSwag"));
    let pipeline: Pipeline = serde_json::from_value(json!({
        "name": "t",
        "datasets": [{"name": "spokenswag", "role": "preference",
            "source": {"kind": "spoken-swag", "folder": folder.path().join("SpokenSwag")}}],
        "tokeniser": {"name": "mfcc", "features": {"kind": "mfcc", "hop": 640, "filters": 40, "coefficients": 13},
            "kmeans": {"k": 12, "seed": 1}, "fit_on": "spokenswag"},
    }))
    .unwrap();
    let root = folder.path().join("data");
    let cancel = AtomicBool::new(false);
    let context = Context {
        root: &root,
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools: BTreeMap::new(),
    };
    let plan = Plan::new(&pipeline).unwrap();
    let make = || {
        for unit in plan.stages.iter().flat_map(|s| &s.units) {
            stages::execute(unit, &context).unwrap();
        }
        let path = root.join(&plan.units("spokenswag", Stage::Pair)[0].output);
        (fs::read(&path).unwrap(), path)
    };
    let (bytes, path) = make();
    let pairs = shard::read::<PreferencePair>(&path).unwrap();
    assert_eq!(pairs.len(), ROWS - 2);
    let first = &pairs[0];
    assert_eq!(first.id, "data/train-00000-of-00001/0000000");
    assert_eq!(first.prompt_text.as_deref(), Some("A woman 0 stands up."));
    assert_eq!(first.chosen_text.as_deref(), Some("She sings song 0."));
    assert_eq!(
        (first.rejected_text.as_deref(), first.auto_bleu2),
        (Some("She is tree 0."), Some(0.0))
    );
    assert!(pairs.iter().all(|p| !p.prompt.is_empty() && p.chosen != p.rejected));
    let receipt = Receipt::read(&path).unwrap().unwrap();
    assert_eq!((receipt.quarantined, receipt.totals["filtered"]), (1, 1.0));
    assert!(Receipt::quarantine_path_of(&path).is_file());
    assert_eq!(make().0, bytes);
}
