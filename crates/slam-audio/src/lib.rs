//! Decoding, resampling, cutting and writing of 16 kHz mono speech.
//!
//! Everything works on streams: [`Decoder`] gives blocks of mono samples of any file, [`Resampler`] brings
//! them to 16 kHz, [`Cutter`] cuts them by voice activity, and [`Pieces`] is the three in a row.
//!
//! ```
//! use slam_audio::{Activity, Decoder, Pieces, flac};
//!
//! let samples: Vec<i16> = (0..16_000).map(|i| (i % 100) as i16).collect();
//! let decoder = Decoder::from_bytes(flac::encode(&samples, 16_000))?;
//! let pieces: Result<Vec<_>, _> = Pieces::new(decoder, 480_000, &Activity::Detect)?.collect();
//! assert_eq!(pieces?[0].samples.len(), 16_000);
//! # Ok::<(), slam_audio::AudioError>(())
//! ```

mod compressed;
mod cut;
mod decode;
pub mod flac;
mod pcm;
mod pieces;
mod resample;
mod sphere;
mod wav;

pub use cut::{Activity, Cutter, Piece};
pub use decode::{Audio, AudioError, Decoder, Warnings, decode_bytes, decode_file};
pub use pieces::Pieces;
pub use resample::{ResampleError, Resampler, resample};

/// The sampling rate of every corpus, in Hz.
pub const RATE_HZ: u32 = 16_000;

/// Samples in [-1, 1] as 16-bit integers, rounded to nearest and clipped.
pub fn to_pcm16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}
