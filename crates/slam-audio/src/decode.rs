//! Decoding of any audio file into mono samples, by content and not by name.

use std::fs::File;
use std::io::{self, Cursor};
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

/// Decoded speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Mono samples in [-1, 1]; several channels are averaged.
    pub samples: Vec<f32>,
    /// Their rate in Hz.
    pub rate_hz: u32,
    /// What was wrong with the file although most of it could be read, in the order met.
    pub warnings: Vec<String>,
}

/// A file that is not usable audio.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// It cannot be read.
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
    /// No known format.
    #[error("not an audio file of a known format (WAV, FLAC, MP3, Ogg Vorbis, AIFF): {0}")]
    Format(String),
    /// A known format without a track that can be decoded.
    #[error("no audio track that can be decoded: {0}")]
    Track(String),
    /// A track whose sound could not be decoded at all.
    #[error("no sample could be decoded{}", .0.as_ref().map_or(String::new(), |w| format!(": {w}")))]
    Empty(Option<String>),
}

/// Decodes a file held in memory.
///
/// # Errors
/// If it is no audio of a known format, or no sample of it can be decoded. Damage after good samples is a
/// warning.
pub fn decode_bytes(bytes: &[u8]) -> Result<Audio, AudioError> {
    decode(Box::new(Cursor::new(bytes.to_vec())))
}

/// Decodes a file.
///
/// # Errors
/// As [`decode_bytes`], and if the file cannot be opened.
pub fn decode_file(path: &Path) -> Result<Audio, AudioError> {
    decode(Box::new(File::open(path)?))
}

fn decode(source: Box<dyn MediaSource>) -> Result<Audio, AudioError> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    // No hint: a wrong file extension must not mislead.
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| AudioError::Format(e.to_string()))?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or_else(|| AudioError::Track("the file has none".into()))?;
    let track_id = track.id;
    let codec = track
        .codec_params
        .as_ref()
        .and_then(|p| p.audio())
        .ok_or_else(|| AudioError::Track("the file does not say its codec".into()))?;
    let mut rate_hz = codec.sample_rate;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(codec, &AudioDecoderOptions::default())
        .map_err(|e| AudioError::Track(e.to_string()))?;
    let mut samples = Vec::new();
    let mut warnings = Vec::new();
    let mut interleaved = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(e) => {
                warnings.push(format!("the file ends early: {e}"));
                break;
            }
        };
        if packet.track_id != track_id {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(buffer) => {
                let spec = buffer.spec();
                if *rate_hz.get_or_insert(spec.rate()) != spec.rate() {
                    warnings.push(format!("the sampling rate changes to {} Hz", spec.rate()));
                    break;
                }
                let channels = spec.channels().count().max(1);
                interleaved.resize(buffer.samples_interleaved(), 0.0f32);
                buffer.copy_to_slice_interleaved(&mut interleaved);
                mix(&interleaved, channels, &mut samples);
            }
            Err(Error::DecodeError(e)) => warnings.push(format!("a damaged packet: {e}")),
            Err(e) => {
                warnings.push(format!("the file ends early: {e}"));
                break;
            }
        }
    }
    match rate_hz {
        Some(rate_hz) if rate_hz > 0 && !samples.is_empty() => {
            Ok(Audio { samples, rate_hz, warnings })
        }
        _ => Err(AudioError::Empty(warnings.into_iter().next())),
    }
}

/// Averages the channels of interleaved samples.
fn mix(interleaved: &[f32], channels: usize, out: &mut Vec<f32>) {
    if channels == 1 {
        out.extend_from_slice(interleaved);
    } else {
        // In f64, so that the mean of 16-bit samples is the exact one, rounded once.
        out.extend(interleaved.chunks_exact(channels).map(|frame| {
            (frame.iter().map(|&x| f64::from(x)).sum::<f64>() / channels as f64) as f32
        }));
    }
}
