//! DPO against TRL's `DPOTrainer`: the same pairs in the same order, twenty steps, the same parameters.
//! `make_trl.py` made the expected values.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::{Value, json};
use slam_dataset::rng::Rng;
use slam_dataset::schema::{PreferencePair, ReferenceLogProbs, TokeniserInfo};
use slam_dataset::shard;
use slam_nn::weights::Weights;
use slam_recipe::Key;
use slam_train::dpo::{DpoConfig, dpo};
use slam_train::{Ended, RunContext, TrainError};

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trl")
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(fixture().join("expected.json")).unwrap()).unwrap()
}

/// The configuration of TRL's run.
fn config(steps: u64, seed: u64) -> DpoConfig {
    let expected = expected();
    let o = &expected["options"];
    let warmup = o["warmup_steps"].as_f64().unwrap() / 20.0;
    serde_json::from_value(json!({
        "budget": {"steps": steps},
        "beta": o["beta"],
        "label_smoothing": o["label_smoothing"],
        "pairs": expected["pairs_of_a_step"],
        "micro_pairs": 2,
        "max_prompt_length": o["max_prompt_length"],
        "max_completion_length": o["max_completion_length"],
        "max_length": o["max_length"],
        "seed": seed,
        "optimiser": {
            "peak_lr": o["learning_rate"],
            "schedule": "inverse-sqrt",
            "warmup": warmup,
            "clip": o["max_grad_norm"],
            "log_every": 1,
        },
    }))
    .unwrap()
}

/// A folder with the fixture's pairs as a shard, so that the order of `seed`'s first epoch is the file's.
fn shard(folder: &Path, seed: u64) -> PathBuf {
    let text = fs::read_to_string(fixture().join("pairs.jsonl")).unwrap();
    let rows: Vec<PreferencePair> = text
        .lines()
        .map(|line| {
            let v: Value = serde_json::from_str(line).unwrap();
            let units = |name: &str| serde_json::from_value(v[name].clone()).unwrap();
            PreferencePair {
                id: v["id"].as_str().unwrap().to_owned(),
                prompt: units("prompt"),
                chosen: units("chosen"),
                rejected: units("rejected"),
                ..Default::default()
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    Rng::derive(seed, &[0]).shuffle(&mut order);
    let mut placed = vec![PreferencePair::default(); rows.len()];
    for (at, row) in order.into_iter().zip(rows) {
        placed[at] = row;
    }
    let info = TokeniserInfo {
        identity: Key::of_bytes(b"trl"),
        name: "trl".into(),
        layer: None,
        k: expected()["units"].as_u64().unwrap() as u32,
        units_per_second: 25.0,
    };
    let path = folder.join("part-00000-of-00001.parquet");
    shard::write(&path, &placed, &info.to_metadata()).unwrap();
    path
}

fn run(
    config: &DpoConfig,
    shard: &Path,
    run: &Path,
    cancel: &AtomicBool,
) -> Result<Ended, TrainError> {
    fs::create_dir_all(run).unwrap();
    let device = Device::flex();
    let context = RunContext::new(run, &device, cancel, &|_| ());
    dpo(config, &fixture(), &[shard.to_owned()], &Key::of_bytes(b"data"), &context)
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn side_files(folder: &Path) -> Vec<PathBuf> {
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().contains(".reference-");
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(name).collect()
}

#[test]
fn twenty_steps_end_at_trls_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let folder = dir.path().join("run");
    run(&config(20, 5), &shard(dir.path(), 5), &folder, &cancel).unwrap();
    let got = metrics(&folder);
    let want = expected()["steps"].as_array().unwrap().clone();
    assert_eq!(got.len(), want.len());
    for (step, (got, want)) in got.iter().zip(&want).enumerate() {
        for (name, tolerance) in [
            // TRL rounds the loss to four digits.
            ("loss", 6e-5),
            ("lr", 1e-12),
            ("grad_norm", 1e-3),
            ("chosen_reward", 1e-4),
            ("rejected_reward", 1e-4),
            ("margin", 1e-4),
            ("accuracy", 1e-9),
            ("chosen_logp", 1e-3),
            ("rejected_logp", 1e-3),
        ] {
            // The first step's rate is 0: till the third, every margin is 0 and its sign is rounding.
            if name == "accuracy" && step < 2 {
                continue;
            }
            let (got, want) = (got[name].as_f64().unwrap(), want[name].as_f64().unwrap());
            assert!((got - want).abs() <= tolerance, "step {step}, {name}: {got}, TRL {want}");
        }
    }
    let open = |path: PathBuf| Weights::open(path).unwrap();
    let ours = open(folder.join("final/model.safetensors"));
    let trl = open(fixture().join("expected.safetensors"));
    let before = open(fixture().join("model.safetensors"));
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let between =
        |a: &[f32], b: &[f32]| norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>());
    let mut seen = 0;
    for name in ours.names() {
        let plain = name.strip_prefix("lm.").unwrap_or(name);
        let (ours, trl) = (ours.tensor_f32(name).unwrap().0, trl.tensor_f32(plain).unwrap().0);
        let before = before.tensor_f32(plain).unwrap().0;
        let relative = between(&ours, &trl) / norm(&trl);
        let moved = between(&before, &trl) / norm(&trl);
        assert!(relative <= 1e-4, "{name}: {relative:e} of TRL's norm apart");
        println!("{name}: {relative:.1e} of TRL's norm apart, training moved it by {moved:.1e}");
        // What training did to the tensor is a hundred times what sets the two apart, at least.
        assert!(moved > 1e-3 && relative < moved / 100.0, "{name}: {relative:e} of {moved:e}");
        seen += 1;
    }
    assert_eq!(seen, trl.names().count());
}

#[test]
fn the_reference_is_computed_once_for_a_model_and_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let shard = shard(dir.path(), 5);
    run(&config(2, 5), &shard, &dir.path().join("first"), &cancel).unwrap();
    let files = side_files(dir.path());
    assert_eq!(files.len(), 1);
    let mut rows = shard::read::<ReferenceLogProbs>(&files[0]).unwrap();
    assert_eq!(rows.len(), 80);
    // A second run takes what is there: the file is made to say something else, and the loss shows it.
    for row in &mut rows {
        row.chosen += 1.0;
    }
    let metadata = shard::ShardReader::<ReferenceLogProbs>::open(&files[0]).unwrap();
    let metadata = metadata.metadata().clone();
    shard::write(&files[0], &rows, &metadata).unwrap();
    run(&config(2, 5), &shard, &dir.path().join("second"), &cancel).unwrap();
    let reward = |run: &str| metrics(&dir.path().join(run))[0]["chosen_reward"].as_f64().unwrap();
    assert!(reward("first").abs() < 1e-6 && (reward("second") + 0.1).abs() < 1e-5);
    // Other caps make other sequences; a broken file is none.
    let mut capped = config(2, 5);
    capped.max_length = 20;
    run(&capped, &shard, &dir.path().join("third"), &cancel).unwrap();
    assert!(reward("third").abs() < 1e-6);
    fs::write(&side_files(dir.path())[0], b"broken").unwrap();
    run(&config(2, 5), &shard, &dir.path().join("fourth"), &cancel).unwrap();
    assert!(reward("fourth").abs() < 1e-6);
}

#[test]
fn a_run_that_is_interrupted_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(dir.path(), 5);
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let go = AtomicBool::new(false);
    run(&config(6, 5), &shard, &whole, &go).unwrap();
    let stop = AtomicBool::new(true);
    let interrupted = |r| matches!(r, Err(TrainError::Interrupted { .. }));
    for _ in 0..3 {
        // Each session ends after its first step.
        assert!(interrupted(run(&config(6, 5), &shard, &parts, &stop)));
    }
    run(&config(6, 5), &shard, &parts, &go).unwrap();
    let weights = |run: &Path| fs::read(run.join("final/model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&parts));
    // Before the reference is there, an interrupted run has no step.
    fs::remove_file(&side_files(dir.path())[0]).unwrap();
    let error = run(&config(7, 5), &shard, &dir.path().join("early"), &stop).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted { step: 0 }), "{error}");
}

#[test]
fn a_time_budget_holds_with_the_reference_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let shard = shard(dir.path(), 5);
    let mut config = config(1, 5);
    config.budget = slam_train::Budget::Seconds(3.0);
    let began = Instant::now();
    let folder = dir.path().join("run");
    run(&config, &shard, &folder, &cancel).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(2500), "{:?}", began.elapsed());
    let spent: Value =
        serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
    let last = metrics(&folder).pop().unwrap();
    let total = spent["seconds"].as_f64().unwrap() + last["seconds"].as_f64().unwrap();
    assert!(spent["seconds"].as_f64().unwrap() > 0.0 && total < 3.5, "{total}");
    // The learning rate followed the clock to its end; less than half a step of it may be left.
    let progress = last["progress"].as_f64().unwrap();
    assert!(progress > 0.95, "{progress}");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let shard = shard(dir.path(), 5);
    let refused = |change: fn(&mut DpoConfig), says: &str| {
        let mut config = config(2, 5);
        change(&mut config);
        let error = run(&config, &shard, &dir.path().join("run"), &cancel).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    refused(|c| c.beta = 0.0, "beta");
    refused(|c| c.label_smoothing = 0.5, "label_smoothing");
    refused(|c| c.validation = 1, "no pairs to train on");
}
