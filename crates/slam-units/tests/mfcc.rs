//! MFCC against librosa (`data/make_mfcc.py`).
//!
//! Tolerance: 2e-3 absolute on coefficients of up to some tens: single against double precision before a
//! logarithm.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use slam_nn::weights::Weights;
use slam_units::features::{FeatureExtractor, Mfcc, MfccConfig};

fn worst(config: MfccConfig, expected: &str) -> f32 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mfcc.safetensors");
    let file = Weights::open(path).unwrap();
    let (wav, _) = file.tensor_f32("wav").unwrap();
    let (values, shape) = file.tensor_f32(expected).unwrap();
    let frames = Mfcc::new(config).unwrap().frames(&wav);
    assert_eq!([frames.len(), frames.dim].to_vec(), shape);
    frames.values.iter().zip(&values).fold(0.0, |w, (a, b)| w.max((a - b).abs()))
}

#[test]
fn coefficients_and_deltas_of_every_ten_milliseconds_equal_librosas() {
    let worst = worst(MfccConfig { hop: 160, deltas: 2, ..Default::default() }, "fine");
    assert!(worst <= 2e-3, "{worst}");
}

#[test]
fn a_unit_frame_is_the_mean_of_its_fine_frames() {
    let worst = worst(MfccConfig { hop: 640, deltas: 2, ..Default::default() }, "unit_frames");
    assert!(worst <= 2e-3, "{worst}");
}
