use std::fs;
use std::path::Path;

use slam_audio::{RATE_HZ, flac};
use slam_dataset::schema::Utterance;

use crate::ingest::RowError;

/// One recording as an utterance. A 16 kHz mono 16-bit FLAC file passes through byte for byte.
///
/// # Errors
/// If the file cannot be read or is no usable audio.
pub fn utterance_of_file(path: &Path, name: &str, split: &str) -> Result<Utterance, RowError> {
    let bytes = fs::read(path)?;
    let audio = slam_audio::decode_bytes(&bytes)?;
    for warning in &audio.warnings {
        tracing::warn!(file = name, "{warning}");
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let source_rate_hz = audio.rate_hz;
    let passes = audio.warnings.is_empty()
        && flac::probe_mono16(&bytes) == Some((audio.samples.len() as u64, RATE_HZ));
    let (flac, num_samples) = if passes {
        (bytes, audio.samples.len())
    } else {
        let samples = slam_audio::resample(audio.samples, source_rate_hz)?;
        (flac::encode(&slam_audio::to_pcm16(&samples), RATE_HZ), samples.len())
    };
    Ok(Utterance {
        // With its ending: `a.wav` and `a.mp3` are two recordings.
        id: name.to_owned(),
        flac,
        path: format!("{stem}.flac"),
        num_samples: u32::try_from(num_samples).map_err(|_| RowError::TooLong(num_samples))?,
        source_rate_hz,
        split: split.to_owned(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_that_differ_in_their_ending_alone_are_two_utterances() {
        let dir = tempfile::tempdir().unwrap();
        let flac = flac::encode(&[0; 1600], RATE_HZ);
        let id = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, &flac).unwrap();
            let row = utterance_of_file(&path, &format!("b/{name}"), "train").unwrap();
            assert_eq!((row.path.as_str(), &row.flac), ("a.flac", &flac));
            row.id
        };
        assert_eq!([id("a.flac"), id("a.wav")], ["b/a.flac", "b/a.wav"]);
    }
}
