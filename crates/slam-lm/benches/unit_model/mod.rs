//! The recipe's decoder with random weights, as both programs of a benchmark find it.

use std::path::PathBuf;

use burn::tensor::Device;
use slam_lm::checkpoint::Format;
use slam_lm::{Decoder, DecoderConfig};

/// The model's folder, shared by the benchmarks of this crate; made here where no Python made it.
pub(crate) fn folder() -> PathBuf {
    let bench = std::env::var_os("SLAM_BENCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = bench.parent().unwrap_or(&bench).join("unit-model");
    if !folder.join("model.safetensors").is_file() {
        let config = DecoderConfig { max_positions: 2048, ..DecoderConfig::slam() };
        let model = Decoder::random(&config, 1, &Device::flex()).unwrap();
        model.save(&folder, Format::HuggingFace, None).unwrap();
    }
    folder
}

/// Units behind `<S>`.
pub(crate) fn ids() -> Vec<u32> {
    std::iter::once(1).chain((0..255).map(|i| 2 + i * 37 % 500)).collect()
}

/// Says a figure.
pub(crate) fn figure(figure: &serde_json::Value) {
    println!("{figure}");
}
