//! Tokens a second of greedy generation at the recipe's size, in f32, over the key/value cache. The peer is
//! `generate_peer.py`; `cargo xtask bench generate` runs both.
#![allow(missing_docs, clippy::unwrap_used)]

mod unit_model;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use serde_json::json;
use slam_lm::Decoder;
use slam_lm::generate::{GenerateOptions, generate};
use unit_model::figure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tokens added.
const NEW: usize = 40;
/// Tokens of a prompt: three seconds.
const PROMPT: usize = 76;

fn main() {
    let model = Decoder::load(unit_model::folder(), &Device::flex()).unwrap();
    let ids = unit_model::ids();
    let mut all = serde_json::Map::new();
    for rows in [1, 8] {
        let prompts: Vec<Vec<u32>> =
            (0..rows).map(|row| [&[1], &ids[1 + row..PROMPT + row]].concat()).collect();
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let run = |new| {
            let options = GenerateOptions { stop: None, ..GenerateOptions::greedy(new) };
            generate(&model, &prompts, &options, &mut |_, _| ControlFlow::Continue(())).unwrap()
        };
        run(2);
        let started = Instant::now();
        let made = run(NEW);
        let seconds = started.elapsed().as_secs_f64();
        all.insert(rows.to_string(), json!(made));
        let mut said = json!({
            "name": format!("generation, batch {rows}"), "value": (rows * NEW) as f64 / seconds,
            "unit": "tokens/s",
        });
        if rows == 1 {
            said["at_least"] = json!(1.5);
        }
        figure(&said);
    }
    if let Some(folder) = std::env::var_os("SLAM_BENCH").map(PathBuf::from) {
        let text = serde_json::Value::Object(all).to_string();
        std::fs::write(folder.join("tokens.json"), text).unwrap();
    }
}
