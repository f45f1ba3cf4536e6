//! Pre-training's own steps, as `pretrain` takes them from a unit shard: packing, forward, backward, gradient
//! norm, AdamW, a line of metrics. The peer is `train_peer.py`; `cargo xtask bench train` runs both.
//!
//! `cargo bench -p slam-train --bench train [-- small|half]`. With `--prepare-only` nothing is measured.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde_json::{Value, json};
use slam_dataset::rng::Rng;
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard;
use slam_recipe::Key;
use slam_train::RunContext;
use slam_train::data::UnitShards;
use slam_train::pretrain::{PretrainConfig, Start, pretrain};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Units of the tokeniser.
const K: u32 = 500;

struct Shape {
    name: &'static str,
    layers: usize,
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    rows: usize,
    context: usize,
    /// Optimiser steps; the first pays for set-up.
    steps: u64,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "small",
        layers: 4,
        hidden: 256,
        ffn: 1024,
        heads: 4,
        kv_heads: 4,
        rows: 8,
        context: 256,
        steps: 12,
    },
    Shape {
        name: "half",
        layers: 24,
        hidden: 896,
        ffn: 4864,
        heads: 14,
        kv_heads: 2,
        rows: 1,
        context: 1024,
        steps: 4,
    },
];

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    for shape in SHAPES.iter().filter(|s| s.name.contains(&filter)) {
        let best = best_step(shape);
        let figure = json!({
            "name": format!("training, {}", shape.name),
            "value": (shape.rows * shape.context) as f64 / best,
            "unit": "tokens/s",
            "at_least": 1.2,
        });
        println!("{figure}");
    }
}

/// Seconds of the fastest step behind the first.
fn best_step(shape: &Shape) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let shard = folder.path().join("part-00000-of-00001.parquet");
    units(shape, &shard);
    let config: PretrainConfig = serde_json::from_value(json!({
        "budget": {"steps": shape.steps},
        "context": shape.context,
        "rows": shape.rows,
        "seed": 1,
        "optimiser": {"log_every": 1, "validate_every": 0, "save_every_seconds": 1e9},
    }))
    .unwrap();
    let model = json!({
        "model_type": "qwen2",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": true,
    });
    let run = folder.path().join("run");
    std::fs::create_dir_all(&run).unwrap();
    let (device, cancel) = (Device::flex(), AtomicBool::new(false));
    let context = RunContext::new(&run, &device, &cancel, &|_| {});
    let key = Key::of_work("bench", 1, &json!({}), []);
    let data = UnitShards { name: "bench".into(), shards: vec![shard] };
    pretrain(&config, &Start::Random(model), &[data], &key, &context).unwrap();
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let seconds: Vec<f64> = lines.iter().map(|l| l["seconds"].as_f64().unwrap()).collect();
    let first = lines[0]["loss"].as_f64().unwrap();
    let last = lines[lines.len() - 1]["loss"].as_f64().unwrap();
    eprintln!("{}: loss {first:.4} -> {last:.4}", shape.name);
    seconds.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min)
}

/// A shard of utterances that fill a row each.
fn units(shape: &Shape, path: &Path) {
    let mut rng = Rng::derive(1, &[]);
    let rows = shape.rows as u64 * 4;
    let utterances: Vec<UnitSequence> = (0..rows)
        .map(|i| {
            // `<S>` at both ends makes the row full.
            let units: Vec<u16> =
                (0..shape.context - 2).map(|_| rng.below(K as usize) as u16).collect();
            UnitSequence {
                id: format!("u{i}"),
                durations: vec![1; units.len()],
                units,
                split: "train".into(),
                text: None,
                words: None,
                item: None,
            }
        })
        .collect();
    let info = TokeniserInfo {
        identity: Key::of_work("bench", 1, &json!({"k": K}), []),
        name: "bench".into(),
        layer: None,
        k: K,
        units_per_second: 25.0,
    };
    shard::write(path, &utterances, &info.to_metadata()).unwrap();
}
