//! HuBERT of the full size (mHuBERT-25Hz's shape) to layer 11: 10 s in memory, and FLAC files end to end.
//!
//! `cargo xtask bench units` runs this beside transformers (`torch_hubert.py`), which makes the checkpoint
//! and the files in the folder that `SLAM_BENCH` names.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use slam_nn::weights::Weights;
use slam_units::features::{FeatureExtractor, Hubert};
use slam_units::kmeans::KMeans;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let Some(folder) = std::env::var_os("SLAM_BENCH").map(PathBuf::from) else {
        println!("SLAM_BENCH names no folder; run `cargo xtask bench units`");
        return;
    };
    let features = serde_json::from_value(serde_json::json!({"layer": 11})).unwrap();
    let model = Hubert::load(&folder.join("model"), &features, &Device::flex()).unwrap();
    let expected = Weights::open(folder.join("expected.safetensors")).unwrap();
    let (samples, _) = expected.tensor_f32("wav").unwrap();
    let seconds = samples.len() as f64 / 16_000.0;
    let mut best = f64::INFINITY;
    let mut frames = model.frames(&samples);
    for _ in 0..5 {
        let started = Instant::now();
        frames = model.frames(&samples);
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("slam   {seconds:.0} s in memory: {best:.3} s, {:.1} times real time", seconds / best);
    let (hidden, _) = expected.tensor_f32("hidden11").unwrap();
    let worst = frames.values.iter().zip(&hidden).fold(0f32, |w, (a, b)| w.max((a - b).abs()));
    let kmeans = KMeans::read(&folder.join("centroids.npy")).unwrap();
    let (ours, theirs) = (kmeans.assign(&frames.values), kmeans.assign(&hidden));
    let equal = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    println!(
        "slam   layer 11 within {worst:.1e} of transformers, {equal} of {} units equal",
        ours.len()
    );

    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("flac")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let started = Instant::now();
    let (mut audio, mut units) = (0.0, 0);
    slam_units::prefetch(
        files.into_iter().map(|f| move || slam_audio::decode_file(&f).unwrap().samples),
        |samples: Vec<f32>| {
            audio += samples.len() as f64 / 16_000.0;
            let labels = kmeans.assign(&model.frames(&samples).values);
            units += slam_units::run_lengths(&labels).0.len();
        },
    );
    let spent = started.elapsed().as_secs_f64();
    println!(
        "slam   {audio:.0} s in FLAC files: {spent:.2} s, {:.1} times real time, {units} units",
        audio / spent
    );
}
