//! HuBERT against transformers: every hidden state of every variant of the fixtures.
//!
//! Tolerance: 1e-4 absolute. Hidden states are of the order of 1; torch and this code sum in different
//! orders in f32, which over three blocks comes to about 1e-5.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;

use burn::tensor::Device;
use slam_nn::weights::{Weights, write_safetensors};
use slam_units::features::{FeatureExtractor, Hubert, HubertFeatures};

const TOLERANCE: f32 = 1e-4;

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

fn features(layer: usize) -> HubertFeatures {
    serde_json::from_value(serde_json::json!({"layer": layer})).unwrap()
}

fn layers(name: &str) -> usize {
    let config = std::fs::read(fixtures().join(name).join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["num_hidden_layers"].as_u64().unwrap() as usize
}

/// Compares all hidden states of a checkpoint with those of an `expected.safetensors`; returns the largest
/// difference.
fn check(name: &str, expected: &str) -> f32 {
    let layers = layers(name);
    let model = Hubert::load(&fixtures().join(name), &features(layers), &Device::flex()).unwrap();
    let expected = Weights::open(fixtures().join(expected).join("expected.safetensors")).unwrap();
    let mut worst = 0.0f32;
    let mut utterances = 0;
    while let Ok((samples, _)) = expected.tensor_f32(&format!("wav{utterances}")) {
        let states = model.hidden_states(&samples);
        assert_eq!(states.len(), layers + 1);
        for (layer, state) in states.into_iter().enumerate() {
            let (values, shape) =
                expected.tensor_f32(&format!("wav{utterances}.hidden{layer}")).unwrap();
            assert_eq!(state.dims().to_vec(), shape, "wav{utterances} layer {layer}");
            let found = state.into_data();
            for (a, b) in found.iter::<f32>().zip(&values) {
                worst = worst.max((a - b).abs());
            }
        }
        utterances += 1;
    }
    assert!(utterances > 0, "{name}: no utterances in the fixture");
    assert!(worst <= TOLERANCE, "{name}: {worst}");
    worst
}

#[test]
fn every_hidden_state_of_every_variant_equals_transformers() {
    let mut variants = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("hubert-") && path.join("expected.safetensors").is_file() {
            println!("{name}: largest difference {:e}", check(&name, &name));
            variants += 1;
        }
    }
    assert!(variants >= 4, "only {variants} variants");
}

#[test]
fn old_weight_norm_names_in_a_torch_file_are_read() {
    check("hubert-old-keys", "hubert-group-norm");
}

#[test]
fn only_the_asked_layers_are_computed_and_they_are_the_same() {
    let name = "hubert-stable-layer-norm";
    let wav = Weights::open(fixtures().join(name).join("expected.safetensors")).unwrap();
    let (samples, _) = wav.tensor_f32("wav0").unwrap();
    let states = |layer| {
        let model =
            Hubert::load(&fixtures().join(name), &features(layer), &Device::flex()).unwrap();
        let states = model.hidden_states(&samples);
        assert_eq!(states.len(), layer + 1);
        states.into_iter().map(burn::tensor::Tensor::into_data).collect::<Vec<_>>()
    };
    let (one, all) = (states(1), states(layers(name)));
    assert_eq!(one[..], all[..2]);
}

#[test]
fn sharded_weights_with_an_index_are_the_same_model() {
    let from = fixtures().join("hubert-group-norm");
    let weights = Weights::open(&from).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut map = serde_json::Map::new();
    for shard in 0..2 {
        let file = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let shapes: Vec<(String, Vec<usize>)> = weights
            .names()
            .enumerate()
            .filter(|(i, _)| i % 2 == shard)
            .map(|(_, name)| (name.to_owned(), weights.shape(name).unwrap().to_vec()))
            .collect();
        map.extend(shapes.iter().map(|(name, _)| (name.clone(), file.clone().into())));
        let mut values = |name: &str| weights.tensor_f32(name).unwrap().0;
        write_safetensors(&dir.path().join(file), &shapes, &mut values).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let frames = |folder: &std::path::Path| {
        let model = Hubert::load(folder, &features(2), &Device::flex()).unwrap();
        model.frames(&vec![0.1; 16_000])
    };
    assert_eq!(frames(dir.path()), frames(&from));
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let error = Hubert::load(dir.path(), &features(2), &Device::flex()).err().unwrap().to_string();
    assert!(error.contains("model-00002-of-00002"), "{error}");
}

#[test]
fn there_is_one_frame_for_every_whole_hop() {
    for name in ["hubert-group-norm", "hubert-50hz"] {
        let model = Hubert::load(&fixtures().join(name), &features(1), &Device::flex()).unwrap();
        let hop = model.hop();
        for samples in [0, 1, hop - 1, hop, hop + 1, 10 * hop - 1, 10 * hop] {
            let frames = model.frames(&vec![0.1; samples]);
            assert_eq!(frames.len(), samples / hop, "{name}: {samples} samples");
        }
    }
}

#[test]
fn a_missing_or_misshaped_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures().join("hubert-group-norm");
    std::fs::copy(from.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let load = |field: &str, value: serde_json::Value| {
        let text = std::fs::read(from.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        config[field] = value;
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        Hubert::load(dir.path(), &features(1), &Device::flex()).err().unwrap().to_string()
    };
    for (field, value, named) in [
        ("conv_bias", true.into(), "conv_layers.0.conv.bias"),
        ("intermediate_size", 65.into(), "encoder.layers.0.feed_forward"),
        ("conv_stride", serde_json::json!([5]), "conv_stride"),
        ("hidden_size", 0.into(), "size"),
        ("model_type", "wav2vec2".into(), "wav2vec2"),
        ("hidden_act", "relu".into(), "relu"),
    ] {
        let error = load(field, value);
        assert!(error.contains(named), "{field}: {error}");
    }
    let error = Hubert::load(&from, &features(99), &Device::flex()).err().unwrap().to_string();
    assert!(error.contains("99"), "{error}");
}
