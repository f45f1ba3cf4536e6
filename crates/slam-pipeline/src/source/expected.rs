//! How large a recording's rows will be: corpus shards are cut by what they will hold, not by what they are made of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::files::is_lossy;

/// Bytes of a second of speech as 16 kHz mono FLAC, about.
const FLAC_BYTES_PER_SECOND: f64 = 17_600.0;
/// Bytes of FLAC for a byte of a lossy format (64 kbit/s, about).
const PER_LOSSY_BYTE: f64 = 2.2;

/// Bytes that a file of so many bytes comes to as rows. What its first bytes say of its rate is believed within
/// reason: it decides over sizes of shards, nothing else.
pub(crate) fn corpus_bytes(path: &Path, bytes: u64) -> u64 {
    let mut head = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(44).read_to_end(&mut head);
    }
    let expected = seconds_of_flac(&head)
        .map(
            |(seconds, passes)| if passes { bytes as f64 } else { seconds * FLAC_BYTES_PER_SECOND },
        )
        .or_else(|| Some(bytes as f64 / wav_bytes_per_second(&head)? * FLAC_BYTES_PER_SECOND))
        .or_else(|| is_lossy(path).then_some(bytes as f64 * PER_LOSSY_BYTE))
        .unwrap_or(bytes as f64);
    // No speech is that much smaller or larger than its source.
    expected.clamp(bytes as f64 / 50.0, bytes as f64 * 10.0) as u64
}

/// The duration of a FLAC file, and whether it passes through as it is.
fn seconds_of_flac(head: &[u8]) -> Option<(f64, bool)> {
    let info = head.strip_prefix(b"fLaC")?;
    let packed = u64::from_be_bytes(info.get(14..22)?.try_into().ok()?);
    let (rate, mono16) = (packed >> 44, packed >> 36 & 0xFF == 15);
    let samples = packed & 0xF_FFFF_FFFF;
    (rate > 0 && samples > 0).then(|| (samples as f64 / rate as f64, rate == 16_000 && mono16))
}

/// What a WAV file's format chunk says, where it is the first one.
fn wav_bytes_per_second(head: &[u8]) -> Option<f64> {
    if head.get(..4)? != b"RIFF" || head.get(8..16)? != b"WAVEfmt " {
        return None;
    }
    let rate = u32::from_le_bytes(head.get(28..32)?.try_into().ok()?);
    (rate > 0).then_some(f64::from(rate))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_those_of_speech_at_16_khz() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, head: &[u8], bytes: u64| {
            let path = dir.path().join(name);
            std::fs::write(&path, head).unwrap();
            corpus_bytes(&path, bytes)
        };
        let flac = |rate: u64, channels: u64, samples: u64| {
            let packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | samples;
            [&b"fLaC\0\0\0\x22"[..], &[0; 10], &packed.to_be_bytes()].concat()
        };
        assert_eq!(of("a.flac", &flac(16_000, 1, 160_000), 190_000), 190_000);
        assert_eq!(of("b.flac", &flac(44_100, 2, 441_000), 1_000_000), 176_000);
        let mut wav = b"RIFF....WAVEfmt ................".to_vec();
        wav[28..32].copy_from_slice(&176_400_u32.to_le_bytes());
        assert_eq!(of("c.wav", &wav, 1_764_000), 176_000);
        assert_eq!(of("d.mp3", b"ID3", 100_000), 220_000);
        assert_eq!(of("e.parquet", b"PAR1", 100_000), 100_000);
        // A header that lies decides over nothing more.
        assert_eq!(of("f.flac", &flac(16_001, 1, u64::from(u32::MAX)), 100), 1000);
    }
}
