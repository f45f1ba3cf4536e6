//! From sound to slamkit's lines: the fixtures' units, byte for byte, and the same in any company.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use slam_dataset::rng::Rng;
use slam_dataset::schema::UnitSequence;
use slam_nn::weights::Weights;
use slam_recipe::Key;
use slam_recipe::request::UnitsForm;
use slam_units::features::FeatureConfig;
use slam_units::kmeans::KMeans;
use slam_units::slamkit;
use slam_units::{Checkpoint, Tokeniser};

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

/// The fixtures' tokeniser: the group-norm HuBERT's second layer and its centroids.
fn tokeniser(window: serde_json::Value) -> Tokeniser {
    let mut features = serde_json::json!({"kind": "hubert", "layer": 2});
    features.as_object_mut().unwrap().extend(window.as_object().unwrap().clone());
    let features: FeatureConfig = serde_json::from_value(features).unwrap();
    let kmeans = KMeans::read(&fixtures().join("kmeans/kmeans_f32.bin")).unwrap();
    let checkpoint = Checkpoint { folder: fixtures().join("hubert-group-norm"), keys: vec![] };
    Tokeniser::new("t", &features, Some(&checkpoint), kmeans, &Device::flex()).unwrap()
}

fn wavs() -> Vec<Vec<f32>> {
    let file = fixtures().join("hubert-group-norm/expected.safetensors");
    let file = Weights::open(file).unwrap();
    (0..).map_while(|i| file.tensor_f32(&format!("wav{i}")).ok()).map(|(v, _)| v).collect()
}

#[test]
fn slamkits_lines_come_out_byte_for_byte() {
    let wavs = wavs();
    let borrowed: Vec<&[f32]> = wavs.iter().map(Vec::as_slice).collect();
    let (mut features, mut tokens) = (String::new(), String::new());
    for (i, (units, durations)) in
        tokeniser(serde_json::json!({})).units(&borrowed).into_iter().enumerate()
    {
        let frames: usize = durations.iter().map(|d| usize::from(*d)).sum();
        assert_eq!(frames, wavs[i].len() / 640, "durations sum to the frames");
        let row = UnitSequence { id: format!("wav{i}"), units, durations, ..Default::default() };
        features += &(slamkit::line(&row, UnitsForm::Features) + "\n");
        tokens += &(slamkit::line(&row, UnitsForm::Tokens) + "\n");
    }
    let expected = |name: &str| fs::read_to_string(fixtures().join("units").join(name)).unwrap();
    assert_eq!(features, expected("features.jsonl"));
    assert_eq!(tokens, expected("tokens.jsonl"));
}

#[test]
fn a_files_units_are_the_same_alone_and_in_any_company_and_order() {
    let tokeniser = tokeniser(serde_json::json!({}));
    let mut rng = Rng::new(5);
    let wavs = wavs();
    // Pieces of random length of the fixtures' speech, from a fraction of a frame up.
    let pieces: Vec<&[f32]> = (0..24)
        .map(|_| {
            let wav = &wavs[rng.below(wavs.len())];
            let (from, length) = (rng.below(wav.len()), 200 + rng.below(20_000));
            &wav[from..(from + length).min(wav.len())]
        })
        .collect();
    let alone: Vec<_> = pieces.iter().map(|p| tokeniser.units(&[p]).remove(0)).collect();
    for _ in 0..4 {
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        rng.shuffle(&mut order);
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(1 + rng.below(9)));
            let together = tokeniser.units(&batch.iter().map(|&i| pieces[i]).collect::<Vec<_>>());
            for (&i, units) in batch.iter().zip(&together) {
                assert_eq!(*units, alone[i], "piece {i} in a batch of {}", batch.len());
            }
            rest = after;
        }
    }
}

#[test]
fn windows_agree_with_one_pass_over_the_whole() {
    // 25 s of the fixtures' speech in windows of 10 s.
    let long: Vec<f32> = wavs().concat().into_iter().cycle().take(25 * 16_000).collect();
    let labels = |window: serde_json::Value| -> Vec<u16> {
        let (units, durations) = tokeniser(window).units(&[&long]).remove(0);
        units
            .iter()
            .zip(&durations)
            .flat_map(|(&u, &d)| std::iter::repeat_n(u, usize::from(d)))
            .collect()
    };
    let whole = labels(serde_json::json!({}));
    let windowed = labels(serde_json::json!({"window": 250, "overlap": 80}));
    assert_eq!(whole.len(), windowed.len());
    let equal = whole.iter().zip(&windowed).filter(|(a, b)| a == b).count();
    let share = equal as f64 / whole.len() as f64;
    println!("{equal} of {} frames have the same unit", whole.len());
    assert!(share >= 0.99, "{share}");
}

#[test]
fn an_identity_names_weights_layer_centroids_and_padding_and_no_files_form() {
    let identity = |features: serde_json::Value, centroids: &str, weights: &[u8]| {
        let features: FeatureConfig = serde_json::from_value(features).unwrap();
        let kmeans = KMeans::read(&fixtures().join("kmeans").join(centroids)).unwrap();
        let checkpoint = Checkpoint {
            folder: fixtures().join("hubert-group-norm"),
            keys: vec![Key::of_bytes(weights)],
        };
        let t = Tokeniser::new("t", &features, Some(&checkpoint), kmeans, &Device::flex()).unwrap();
        t.info().identity.clone()
    };
    let usual = serde_json::json!({"kind": "hubert", "layer": 2});
    let first = identity(usual.clone(), "kmeans_f32.bin", b"w");
    for same in ["kmeans_zlib.bin", "kmeans_f32.centroids.npy"] {
        assert_eq!(identity(usual.clone(), same, b"w"), first, "{same}");
    }
    let mut others = vec![
        identity(usual.clone(), "kmeans_f32.bin", b"other weights"),
        identity(usual, "minibatch_f32.bin", b"w"),
        first,
    ];
    for features in [
        serde_json::json!({"kind": "hubert", "layer": 1}),
        serde_json::json!({"kind": "hubert", "layer": 2, "pad": [0, 0]}),
    ] {
        others.push(identity(features, "kmeans_f32.bin", b"w"));
    }
    let different: std::collections::BTreeSet<String> =
        others.iter().map(ToString::to_string).collect();
    assert_eq!(different.len(), others.len());
}
