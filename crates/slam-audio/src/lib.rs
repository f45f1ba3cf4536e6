//! Decoding, resampling and writing of 16 kHz mono speech.
//!
//! ```
//! let samples: Vec<i16> = (0..16_000).map(|i| (i % 100) as i16).collect();
//! let flac = slam_audio::flac::encode(&samples, 16_000);
//! let audio = slam_audio::decode_bytes(&flac)?;
//! assert_eq!((audio.rate_hz, audio.samples.len()), (16_000, 16_000));
//! # Ok::<(), slam_audio::AudioError>(())
//! ```

mod decode;
pub mod flac;
mod resample;

pub use decode::{Audio, AudioError, decode_bytes, decode_file};
pub use resample::{ResampleError, resample};

/// The sampling rate of every corpus, in Hz.
pub const RATE_HZ: u32 = 16_000;

/// Samples in [-1, 1] as 16-bit integers, rounded to nearest and clipped.
pub fn to_pcm16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}
