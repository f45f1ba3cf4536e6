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
    let id = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
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
        id: id.to_owned(),
        flac,
        path: format!("{}.flac", id.rsplit('/').next().unwrap_or(id)),
        num_samples: u32::try_from(num_samples).map_err(|_| RowError::TooLong(num_samples))?,
        source_rate_hz,
        split: split.to_owned(),
        ..Default::default()
    })
}
