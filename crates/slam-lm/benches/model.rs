//! The recipe's decoder at its full size: parameters, logits in f32 and bf16 against transformers', seconds
//! and memory of loading it. The peer is `model_peer.py`; `cargo xtask bench model` runs both.
#![allow(missing_docs, clippy::unwrap_used)]

mod unit_model;

use std::fs;
use std::time::Instant;

use burn::tensor::{Device, FloatDType};
use serde_json::json;
use slam_lm::{Decoder, TokenBatch};
use slam_nn::weights::Weights;
use unit_model::figure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What f32 logits may differ by from transformers'.
const F32: f64 = 2e-3;
/// Memory of loading, in sizes of the file.
const LOADING: f64 = 1.2;

fn main() {
    let folder = unit_model::folder();
    let size = fs::metadata(folder.join("model.safetensors")).unwrap().len();
    let before = peak();
    let started = Instant::now();
    let model = Decoder::load(&folder, &Device::flex()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let share = (peak() - before) as f64 / size as f64;
    assert_eq!(model.num_parameters(), 358_347_904);
    figure(&json!({"name": "loading", "value": seconds, "unit": "s", "better": "less"}));
    figure(&json!({
        "name": "loading, peak memory", "value": share, "unit": "of the file", "better": "less",
    }));
    assert!(share <= LOADING, "loading takes {share:.2} of the file's size, not {LOADING}");

    let ids = unit_model::ids();
    let exact = logits(&model, &ids);
    let reference = folder.join("logits.safetensors");
    if reference.is_file() {
        let theirs = Weights::open(reference).unwrap().tensor_f32("logits").unwrap().0;
        let off = largest(&exact, &theirs);
        figure(&json!({
            "name": "f32 logits, largest difference", "value": off, "unit": "logit", "better": "less",
        }));
        assert!(off <= F32, "the logits differ from transformers' by {off}");
    }
    let half = logits(&model.cast(FloatDType::BF16), &ids);
    figure(&json!({
        "name": "bf16 logits, error against f32", "value": rms(&exact, &half), "unit": "rms",
        "better": "less", "at_least": 0.8,
    }));
    figure(&json!({
        "name": "bf16 logits, largest error", "value": largest(&exact, &half), "unit": "logit",
        "better": "less",
    }));
}

fn logits(model: &Decoder, ids: &[u32]) -> Vec<f32> {
    let batch = TokenBatch::padded(&[ids], &model.device());
    model.logits(&batch).into_data().iter::<f32>().collect()
}

fn largest(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

/// Root of the mean squared difference, as a share of the root of the mean square.
fn rms(exact: &[f32], other: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = exact.iter().zip(other).map(|(a, b)| square(a - b)).sum();
    let size: f64 = exact.iter().map(|a| square(*a)).sum();
    (error / size).sqrt()
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    1024 * kib.unwrap_or(0)
}
