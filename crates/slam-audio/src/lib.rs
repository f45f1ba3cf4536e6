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

mod another;
mod chunk;
mod compressed;
mod cut;
mod decode;
mod error;
mod fault;
pub mod flac;
mod float_range;
mod kept;
mod mix;
mod mp4;
mod mpeg;
mod opus;
mod pcm;
mod pieces;
mod resample;
mod speech;
mod sphere;
mod tag;
mod uncompressed;
mod warning;
mod wav;

pub use cut::{Activity, Cutter, Piece};
pub use decode::{Audio, Decoder, decode_bytes, decode_file};
pub use error::{AudioError, OpusHeaderError, SphereError, TrackError, WavError};
pub use fault::{Fault, Part};
pub use pieces::Pieces;
pub use resample::{ResampleError, Resampler, resample};
pub use speech::{RATE_HZ, to_pcm16};
pub use warning::{Counted, Warning, Warnings};
