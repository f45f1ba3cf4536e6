//! HuBERT of the full size (mHuBERT-25Hz's shape) to layer 11: 10 s in memory, FLAC files end to end, and how far
//! it is from transformers.
//!
//! `cargo xtask bench units` runs this beside transformers (`units_peer.py`), which makes the checkpoint and the
//! files. With `--long` instead: a recording of 5 min in windows against one pass over it; with `--hours N`: the
//! memory that a recording of so many hours takes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::json;
use slam_nn::weights::Weights;
use slam_units::features::{FeatureConfig, FeatureExtractor, Hubert};
use slam_units::kmeans::KMeans;
use slam_units::{Checkpoint, Tokeniser};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn say(name: &str, value: f64, unit: &str, at_least: f64) {
    println!("{}", json!({"name": name, "value": value, "unit": unit, "at_least": at_least}));
}

/// The least time of so many runs.
fn best(runs: usize, mut run: impl FnMut()) -> f64 {
    let time = |()| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    };
    std::iter::repeat_n((), runs).map(time).fold(f64::INFINITY, f64::min)
}

fn main() {
    let Some(folder) = std::env::var_os("SLAM_BENCH").map(PathBuf::from) else {
        println!("SLAM_BENCH names no folder; run `cargo xtask bench units`");
        return;
    };
    if !folder.join("done").is_file() {
        println!("{} holds no checkpoint; the peer makes it (SLAM_PYTHON)", folder.display());
        return;
    }
    let kmeans = KMeans::read(&folder.join("centroids.npy")).unwrap();
    let device = Device::flex();
    let tokeniser = |window: usize| {
        let features = json!({"kind": "hubert", "layer": 11, "window": window});
        let features: FeatureConfig = serde_json::from_value(features).unwrap();
        let checkpoint = Checkpoint { folder: folder.join("model"), keys: vec![] };
        Tokeniser::new("bench", &features, Some(&checkpoint), kmeans.clone(), &device).unwrap()
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => return windows(&tokeniser, &decode(&folder.join("long.flac"))),
            "--hours" => {
                let hours: usize = arguments.next().unwrap().parse().unwrap();
                return memory(&tokeniser(4500), &decode(&folder.join("long.flac")), hours);
            }
            _ => {}
        }
    }
    let features = serde_json::from_value(json!({"layer": 11})).unwrap();
    let model = Hubert::load(&folder.join("model"), &features, &device).unwrap();
    let expected = Weights::open(folder.join("expected.safetensors")).unwrap();
    let (samples, _) = expected.tensor_f32("wav").unwrap();
    let (hidden, _) = expected.tensor_f32("hidden").unwrap();
    let frames = model.frames(&samples);
    let worst = frames.values.iter().zip(&hidden).fold(0f32, |w, (a, b)| w.max((a - b).abs()));
    let (ours, theirs) = (kmeans.assign(&frames.values), kmeans.assign(&hidden));
    let equal = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    println!("layer 11 within {worst:.1e} of transformers, {equal} of {} units equal", ours.len());
    assert!(worst <= 1e-3 && equal * 1000 >= ours.len() * 999, "not what transformers computes");

    let spent = best(5, || drop(model.frames(&samples)));
    say("1 × 10 s in memory", samples.len() as f64 / 16_000.0 / spent, "audio-seconds/s", 1.0);
    drop(model);

    let usual = tokeniser(4500);
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("flac")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut audio = 0.0;
    let spent = best(2, || {
        // As the stage: rows are decoded while those before them are computed.
        let mut rest = &files[..];
        let next = || {
            let (batch, after) = rest.split_at(rest.len().min(64));
            rest = after;
            (!batch.is_empty()).then(|| batch.par_iter().map(|f| decode(f)).collect::<Vec<_>>())
        };
        audio = 0.0;
        slam_units::prefetch(0, next, |batch| {
            audio += batch.iter().map(Vec::len).sum::<usize>() as f64 / 16_000.0;
            let batch: Vec<&[f32]> = batch.iter().map(Vec::as_slice).collect();
            drop(usual.units(&batch));
            Ok::<_, ()>(())
        })
        .unwrap();
    });
    let name = format!("{} FLAC files, end to end", files.len());
    say(&name, audio / spent, "audio-seconds/s", 1.2);
}

fn decode(file: &Path) -> Vec<f32> {
    slam_audio::decode_file(file).unwrap().samples
}

/// How many units are the same in windows and in one pass.
fn windows(tokeniser: &dyn Fn(usize) -> Tokeniser, samples: &[f32]) {
    let labels = |t: &Tokeniser| -> Vec<u16> {
        let (units, durations) = t.units(&[samples]).remove(0);
        let runs = units.iter().zip(&durations);
        runs.flat_map(|(&u, &d)| std::iter::repeat_n(u, usize::from(d))).collect()
    };
    let whole = labels(&tokeniser(1 << 20));
    for window in [1500, 3000, 4500] {
        let windowed = labels(&tokeniser(window));
        let equal = windowed.iter().zip(&whole).filter(|(a, b)| a == b).count();
        let share = 100.0 * equal as f64 / whole.len() as f64;
        println!(
            "5 min in windows of {} s: {share:.2} % of {} units as in one pass",
            window / 25,
            whole.len()
        );
    }
}

/// The most memory that was ever in use, with one long recording.
fn memory(tokeniser: &Tokeniser, samples: &[f32], hours: usize) {
    let count = hours * 3600 * 16_000;
    let samples: Vec<f32> = samples.iter().copied().cycle().take(count).collect();
    let started = Instant::now();
    let durations = tokeniser.units(&[&samples]).remove(0).1;
    let frames: usize = durations.iter().map(|d| usize::from(*d)).sum();
    let spent = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{hours} h in one recording: {frames} frames in {spent:.0} s, {most}");
}
