//! The files of `fixtures/audio`: lossless ones bit-exact, broken ones without a panic, rates resampled.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

use safetensors::SafeTensors;
use slam_audio::{decode_file, resample};

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES")
        .map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
            PathBuf::from,
        )
        .join("audio")
}

fn tensor(file: &str, name: &str) -> Vec<f32> {
    let bytes = fs::read(fixtures().join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(name).unwrap().data().to_vec();
    data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn lossless_sixteen_bit_files_are_bit_exact() {
    let mono = tensor("expected_pcm16.safetensors", "mono");
    let stereo = tensor("expected_pcm16.safetensors", "stereo_mean");
    // libsndfile rounds to FLAC otherwise than to WAV: the FLAC fixtures hold samples one step away.
    let step = 1.0 / 32_768.0;
    for (ending, tolerance) in [("pcm16.wav", 0.0), ("aiff16.aiff", 0.0), ("pcm16.flac", step)] {
        for (kind, expected) in [("mono", &mono), ("stereo", &stereo)] {
            let path = fixtures().join(format!("{kind}_{ending}"));
            let audio = decode_file(&path).unwrap();
            assert_eq!(audio.rate_hz, 16_000);
            assert!(audio.warnings.is_empty(), "{}: {:?}", path.display(), audio.warnings);
            assert_eq!(audio.samples.len(), expected.len(), "{}", path.display());
            assert!(worst(&audio.samples, expected) <= tolerance, "{} differs", path.display());
        }
    }
    let flac = decode_file(&fixtures().join("mono_pcm16.flac")).unwrap();
    let audio = decode_file(&fixtures().join("mislabelled_flac.wav")).unwrap();
    assert_eq!(audio, flac, "content decides, not the name");
}

#[test]
fn other_encodings_are_close_to_the_sixteen_bit_ones() {
    // The largest error each encoding may make: a step of 16 bits (the expected
    // values are of those), its own quantiser's, or its codec's loss.
    for (ending, tolerance) in [
        ("pcm24.wav", 4e-5),
        ("pcm24.flac", 4e-5),
        ("float32.wav", 4e-5),
        ("pcm8.wav", 8e-3),
        ("ulaw.wav", 2e-2),
    ] {
        let audio = decode_file(&fixtures().join(format!("mono_{ending}"))).unwrap();
        let expected = tensor("expected_pcm16.safetensors", "mono");
        assert_eq!(audio.samples.len(), expected.len(), "{ending}");
        let worst =
            audio.samples.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{ending}: {worst}");
    }
    for ending in ["vorbis.ogg", "layer3.mp3"] {
        let audio = decode_file(&fixtures().join(format!("mono_{ending}"))).unwrap();
        let power = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        let expected = power(&tensor("expected_pcm16.safetensors", "mono"));
        let ratio = power(&audio.samples) / expected;
        assert!((0.8..1.25).contains(&ratio), "{ending}: power ratio {ratio}");
    }
}

#[test]
fn broken_files_are_errors_or_salvaged_with_a_warning() {
    for name in ["bad_empty.flac", "bad_text.wav"] {
        assert!(decode_file(&fixtures().join(name)).is_err(), "{name}");
    }
    let whole = tensor("expected_pcm16.safetensors", "mono");
    // The header promises 4 GiB: not believed, and said. What is there is right.
    let audio = decode_file(&fixtures().join("bad_header_length.wav")).unwrap();
    let length = fs::metadata(fixtures().join("bad_header_length.wav")).unwrap().len();
    assert_eq!(audio.samples.len() as u64, (length - 44) / 2);
    assert_eq!(worst(&audio.samples, &whole), 0.0);
    let warnings: Vec<_> = audio.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["the file ends before the length in its header"]);
    // A third of the file.
    let audio = decode_file(&fixtures().join("bad_truncated.flac")).unwrap();
    let n = audio.samples.len();
    assert!((1..whole.len()).contains(&n), "{n} samples");
    let worst = worst(&audio.samples, &whole);
    assert!(worst <= 1.0 / 32_768.0, "{worst} over {n} samples");
    assert!(!audio.warnings.is_empty(), "a cut file passes for a whole one");
    assert!(decode_file(&fixtures().join("no_such_file.wav")).is_err());
}

#[test]
fn every_rate_resamples_to_sixteen_kilohertz() {
    let expected = tensor("expected_tones_16000.safetensors", "tones");
    for rate_hz in [8_000, 11_025, 22_050, 24_000, 44_100, 48_000] {
        let audio = decode_file(&fixtures().join(format!("tones_{rate_hz}.wav"))).unwrap();
        assert_eq!(audio.rate_hz, rate_hz);
        let out = resample(audio.samples, rate_hz).unwrap();
        let length = (1.5 * f64::from(rate_hz)).floor() * 16_000.0 / f64::from(rate_hz);
        assert_eq!(out.len(), length.round() as usize);
        // Away from the edges, where the filter has all its input.
        let (a, b) = (1600, expected.len().min(out.len()) - 1600);
        let signal: f64 = expected[a..b].iter().map(|x| f64::from(*x).powi(2)).sum();
        let noise: f64 =
            expected[a..b].iter().zip(&out[a..b]).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let snr = 10.0 * (signal / noise).log10();
        println!("{rate_hz} Hz: {snr:.1} dB");
        assert!(snr >= 90.0, "{rate_hz} Hz: {snr:.1} dB");
    }
}
