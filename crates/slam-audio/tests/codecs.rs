//! AAC and Opus against FFmpeg's decoders (libopus), on files that `make_codecs.py` made.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use slam_audio::{Audio, decode_file};

fn decoded(name: &str) -> Audio {
    decode_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codecs").join(name)).unwrap()
}

/// The signal-to-noise ratio in dB of a decoding, against FFmpeg's.
fn snr(name: &str) -> (f64, Audio, Audio) {
    let (ours, theirs) = (decoded(name), decoded(&format!("{name}.flac")));
    let power = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>();
    let signal = power(&mut theirs.samples.iter().map(|&x| f64::from(x)));
    let pairs = ours.samples.iter().zip(&theirs.samples);
    let noise = power(&mut pairs.map(|(a, b)| f64::from(a - b)));
    (10.0 * (signal / noise.max(1e-12)).log10(), ours, theirs)
}

#[test]
fn opus_in_all_its_modes_is_libopus_to_the_last_bits() {
    // Both end in 16 bits; float against fixed arithmetic differs by a few steps of them.
    for name in ["mono.opus", "stereo.opus", "silk.opus"] {
        let (snr, ours, theirs) = snr(name);
        assert!(ours.warnings.is_empty(), "{name}: {:?}", ours.warnings);
        assert_eq!((ours.rate_hz, ours.samples.len()), (48_000, theirs.samples.len()), "{name}");
        println!("{name}: {snr:.1} dB");
        assert!(snr > 45.0, "{name}: {snr:.1} dB");
    }
}

#[test]
fn aac_is_ffmpegs() {
    for (name, rate_hz) in [("mono.m4a", 44_100), ("stereo.m4a", 44_100), ("mono.aac", 16_000)] {
        let (snr, ours, theirs) = snr(name);
        assert!(ours.warnings.is_empty(), "{name}: {:?}", ours.warnings);
        println!(
            "{name}: {snr:.1} dB, {} and {} samples",
            ours.samples.len(),
            theirs.samples.len()
        );
        assert_eq!(ours.rate_hz, rate_hz, "{name}");
        // FFmpeg's decoder knows no edit lists: those of the two M4A files end the sound within the last packet.
        let behind = if rate_hz == 44_100 { 36_864 - 36_304 } else { 0 };
        assert_eq!(ours.samples.len() + behind, theirs.samples.len(), "{name}");
        // 75–89 dB in nearly all frames; in one of short windows the two decoders are 40 dB apart.
        assert!(snr > 45.0, "{name}: {snr:.1} dB");
    }
}
