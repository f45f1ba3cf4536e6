//! A FLAC file in memory to units and durations, by MFCC features and centroids that are fitted on it.

use std::error::Error;
use std::f32::consts::TAU;

use slam_nn::device::Device;
use slam_units::Tokeniser;
use slam_units::features::{FeatureConfig, FeatureExtractor, Mfcc, MfccConfig};
use slam_units::kmeans::{KMeans, KMeansConfig};

/// Samples a second.
const RATE_HZ: u32 = 16_000;
/// Pitches of the tone, a second each.
const PITCHES_HZ: [f32; 6] = [220.0, 440.0, 880.0, 440.0, 220.0, 880.0];

/// A file as it would come from disk.
fn recording() -> Vec<u8> {
    let second = RATE_HZ as usize;
    let samples: Vec<f32> = (0..PITCHES_HZ.len() * second)
        .map(|i| 0.3 * (TAU * PITCHES_HZ[i / second] * i as f32 / RATE_HZ as f32).sin())
        .collect();
    slam_audio::flac::encode(&slam_audio::to_pcm16(&samples), RATE_HZ)
}

fn main() -> Result<(), Box<dyn Error>> {
    // Any format that slam-audio knows; other rates than 16 kHz go through `slam_audio::resample`.
    let audio = slam_audio::decode_bytes(&recording())?;

    // Two means a unit frame, each of 13 coefficients and their first deltas, 25 frames a second.
    let config = MfccConfig { deltas: 1, slices: 2, ..MfccConfig::default() };
    let frames = Mfcc::new(config.clone())?.frames(&audio.samples);
    println!("{} frames of {} values", frames.len(), frames.dim);

    // Coefficients differ in size: scaled to unit variance they count alike.
    let fit = KMeansConfig { k: 12, standardise: true, ..KMeansConfig::default() };
    let device = Device::flex();
    let kmeans = KMeans::fit(&frames.values, frames.dim, &fit, &device)?;
    println!("mean squared distance to the centroids: {:.3}", kmeans.inertia(&frames.values));

    // Centroids are a file of their own: read again they are the same, and so is the tokeniser.
    let path = std::env::temp_dir().join(format!("tone-{}.safetensors", std::process::id()));
    kmeans.write(&path)?;
    let read = KMeans::read(&path);
    std::fs::remove_file(&path)?;
    let kmeans = read?;

    let features = FeatureConfig::Mfcc(config);
    let tokeniser = Tokeniser::new("tone", &features, None, kmeans, &device)?;
    println!("the tokeniser's identity: {}", tokeniser.info().identity);
    for (units, durations) in tokeniser.units(&[&audio.samples]) {
        for (unit, duration) in units.iter().zip(&durations) {
            print!("{unit}×{duration} ");
        }
        println!();
    }
    Ok(())
}
