//! Measures scoring of as many pairs as sWUGGY's test set has: 20,000 pairs of words of realistic length,
//! scored by a model of the demo's shape. Also measures whether memory grows with the pairs. The peer is
//! `evaluate_peer.py`; `cargo xtask bench evaluate` runs both.
//!
//! Run `cargo bench -p slam-eval --bench evaluate [-- PAIRS]`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use serde_json::json;
use slam_dataset::rng::Rng;
use slam_dataset::schema::{BenchmarkPair, TokeniserInfo};
use slam_dataset::shard;
use slam_eval::{Evaluation, aggregate::Convention};
use slam_lm::checkpoint::Format;
use slam_lm::{Decoder, DecoderConfig};
use slam_recipe::Key;
use slam_recipe::item::PairItem;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of units of the demo's tokeniser.
const K: u32 = 250;

fn main() {
    let pairs = env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(20_000usize);
    let folder = env::var_os("SLAM_BENCH").map_or_else(env::temp_dir, PathBuf::from);
    let checkpoint = folder.join("checkpoint");
    fs::create_dir_all(&checkpoint).unwrap();
    let device = Device::flex();
    let config = DecoderConfig::qwen2(K as usize + 2, 256, 768, 4, 4, 2, 1024);
    let model = Decoder::random(&config, 1, &device).unwrap();
    model.save(&checkpoint, Format::HuggingFace, None).unwrap();
    drop(model);
    // Score a tenth of the pairs first. Memory beyond that is what grows with the pairs.
    let small = folder.join("small.parquet");
    words(&small, pairs / 10);
    score(&checkpoint, &small, &device, &folder.join("small-scores.parquet"));
    let before = peak_mb();
    let all = folder.join("pairs.parquet");
    words(&all, pairs);
    let started = Instant::now();
    let evaluation = score(&checkpoint, &all, &device, &folder.join("scores.parquet"));
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(evaluation.rows, pairs);
    for figure in [
        json!({"name": format!("scores of {pairs} pairs"), "value": seconds, "unit": "s", "better": "less"}),
        json!({"name": "sequences", "value": 2.0 * pairs as f64 / seconds, "unit": "sequences/s"}),
        json!({"name": "peak memory", "value": peak_mb(), "unit": "MB", "better": "less"}),
        json!({"name": "growth over a tenth of the pairs", "value": peak_mb() - before, "unit": "MB", "better": "less"}),
    ] {
        println!("{figure}");
    }
}

fn score(checkpoint: &Path, shard: &Path, device: &Device, out: &Path) -> Evaluation {
    let _ = fs::remove_file(out);
    let _ = fs::remove_file(out.with_extension("json"));
    let shards = [shard.to_owned()];
    Evaluation::score(checkpoint, None, &shards, Some(Convention::Slamkit), device, out).unwrap()
}

/// Writes words of 0.4 to 1.2 seconds at 19.4 units a second. The negative differs from the positive by a
/// unit or two.
fn words(path: &Path, pairs: usize) {
    let mut rng = Rng::new(9);
    let rows: Vec<BenchmarkPair> = (0..pairs)
        .map(|i| {
            let length = 8 + rng.below(16);
            let positive: Vec<u16> = (0..length).map(|_| rng.below(K as usize) as u16).collect();
            let mut negative = positive.clone();
            for _ in 0..=rng.below(2) {
                let at = rng.below(length);
                negative[at] = rng.below(K as usize) as u16;
            }
            BenchmarkPair {
                item: PairItem {
                    suite: "swuggy-test".into(),
                    pair: (i / 4).to_string(),
                    voice: (i % 4).to_string(),
                    frequency: Some(rng.below(300) as u32),
                    ..Default::default()
                },
                positive,
                negative,
            }
        })
        .collect();
    let info = TokeniserInfo {
        identity: Key::of_bytes(b"bench"),
        name: "bench".into(),
        layer: None,
        k: K,
        units_per_second: 25.0,
    };
    shard::write(path, &rows, &info.to_metadata()).unwrap();
}

/// Returns the largest resident memory of this process so far, in megabytes, or 0 if the system does not
/// report it.
fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kb = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}
