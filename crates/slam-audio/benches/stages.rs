//! What decoding, resampling, cutting and encoding cost each, on one thread.
//!
//! `cargo xtask bench resample` runs this beside soxr and torchaudio (`resample_peer.py`). With the
//! recordings of `cargo xtask bench ingest` in `target/bench/ingest`, decoders are timed as well.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use slam_audio::{Activity, Cutter, Decoder, flac, resample, to_pcm16};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds of sound that a rate is timed with.
const SECONDS: usize = 120;
const ROUNDS: usize = 5;

fn main() {
    for rate_hz in [8_000, 22_050, 24_000, 44_100, 48_000] {
        let signal = signal(rate_hz, SECONDS);
        let spent = best(|| {
            black_box(resample(signal.clone(), rate_hz).unwrap());
        });
        figure(&format!("resample {rate_hz} Hz"), SECONDS as f64, spent);
    }
    let speech = signal(16_000, SECONDS);
    let pcm = to_pcm16(&speech);
    let spent = best(|| {
        black_box(flac::encode(&pcm, 16_000));
    });
    figure("FLAC, encode", SECONDS as f64, spent);
    let file = flac::encode(&pcm, 16_000);
    let spent = best(|| assert!(flac::is_whole(&file)));
    figure("FLAC, check", SECONDS as f64, spent);
    let spent = best(|| {
        let (mut cutter, mut out) = (Cutter::new(30 * 16_000, &Activity::Detect), Vec::new());
        cutter.push(&speech, &mut out);
        cutter.finish(&mut out);
        black_box(out);
    });
    figure("cut by voice activity", SECONDS as f64, spent);
    for kind in ["flac16", "flac44", "mp3"] {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/ingest").join(kind);
        let Ok(files) = fs::read_dir(folder) else { continue };
        let files: Vec<_> = files.take(8).map(|f| fs::read(f.unwrap().path()).unwrap()).collect();
        let mut seconds = 0.0;
        let spent = best(|| {
            seconds = 0.0;
            for bytes in &files {
                let audio = Decoder::from_bytes(bytes.clone()).unwrap().read_all().unwrap();
                seconds += audio.samples.len() as f64 / f64::from(audio.rate_hz);
            }
        });
        figure(&format!("decode {kind}"), seconds, spent);
    }
}

fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(time).fold(f64::INFINITY, f64::min)
}

fn figure(name: &str, seconds: f64, spent: f64) {
    let value = seconds / 3600.0 / spent;
    println!("{}", json!({"name": name, "value": value, "unit": "audio-hours/s, one thread"}));
}

/// Harmonics and faint noise with pauses.
fn signal(rate_hz: u32, seconds: usize) -> Vec<f32> {
    let mut noise = 1u32;
    (0..rate_hz as usize * seconds)
        .map(|i| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let t = i as f32 / rate_hz as f32;
            let phase = std::f32::consts::TAU * (i as f32 * 137.0 / rate_hz as f32).fract();
            let voiced = if t % 5.0 < 4.0 { 0.3 } else { 0.0 };
            voiced * (phase.sin() + 0.5 * (2.0 * phase).sin() + 0.3 * (5.0 * phase).sin())
                + (noise >> 8) as f32 / (1 << 24) as f32 * 0.003
        })
        .collect()
}
