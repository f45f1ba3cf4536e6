//! Any audio file as 16 kHz mono speech: decoding, resampling, cutting by voice activity, and FLAC.
//!
//! Everything works on streams: [`Decoder`] gives blocks of mono samples of any file, [`Resampler`] brings
//! them to 16 kHz, [`Cutter`] cuts them by voice activity, and [`Pieces`] is the three in a row. [`decode_file`] and
//! [`resample`] are the same for a recording that fits in memory; [`flac`] writes files and tells whole ones from
//! broken ones.
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
//!
//! # Formats
//!
//! WAV (PCM, float, A-law, µ-law, ADPCM), FLAC, MP3 and the other layers of MPEG audio, Ogg with Vorbis, Opus or FLAC, AIFF,
//! AAC-LC, M4A with AAC, ALAC or Opus, and NIST SPHERE. A file's content decides, never its name. The crate's README has
//! the tolerances that each is held to.
//!
//! # Errors and warnings
//!
//! A file without usable sound is an [`AudioError`]. What is odd in a file that can be read is a [`Warning`]; each kind
//! is kept with its count in [`Warnings`], which [`Decoder::warnings`], [`Pieces::warnings`] and [`Audio::warnings`] give.
//!
//! # Determinism
//!
//! Samples, pieces and FLAC bytes are functions of the file alone: no result depends on how a stream is cut into
//! blocks, on threads, or on the time.

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

/// The README's example, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
