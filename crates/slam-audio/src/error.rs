//! Why a file is no usable audio: what is wrong, where in the file, and what helps.

use std::io;

use crate::fault::{Fault, Part};
use crate::resample::ResampleError;
use crate::warning::Counted;

/// A file that is not usable audio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// It cannot be read.
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
    /// No known format.
    #[error(
        "not an audio file of a known format (WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, AAC, M4A, NIST SPHERE); if it is \
         audio, convert it to FLAC"
    )]
    Format(#[source] Fault),
    /// A known format without a track that can be decoded.
    #[error("no audio track that can be decoded: {0}")]
    Track(#[from] TrackError),
    /// A WAV header that says nothing usable.
    #[error("the WAV header {0}")]
    Wav(#[from] WavError),
    /// A SPHERE header that says nothing usable.
    #[error("the SPHERE header {0}")]
    Sphere(#[from] SphereError),
    /// A track whose sound could not be decoded at all.
    #[error("no sample could be decoded{}", .0.as_ref().map_or(String::new(), |w| format!(": {w}")))]
    Empty(Option<Counted>),
    /// Its rate is no recording's.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// Why a file of a known format has no track that can be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// There is none.
    #[error("the file has none")]
    Missing,
    /// Its codec is not named.
    #[error("the file does not say its codec")]
    NoCodec,
    /// Its rate is not named.
    #[error("the file does not say its rate")]
    NoRate,
    /// More than any recording has.
    #[error("{0} channels; no recording has as many")]
    Channels(usize),
    /// Its codec, or this form of it, is not decoded here.
    #[error("{0}; convert the file to FLAC")]
    Codec(#[source] Fault),
    /// An Opus header that says nothing usable.
    #[error("the Opus header {0}")]
    Opus(#[from] OpusHeaderError),
    /// The library panicked: the file is broken in a way that it does not expect.
    #[error("{0} failed on this file")]
    Crash(Part),
}

/// What is wrong with an identification header of Opus (RFC 7845, 5.1).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpusHeaderError {
    /// Too short for its channel mapping.
    #[error("is cut off")]
    CutOff,
    /// No channels, or no streams, or a channel of a stream that there is not.
    #[error("maps {channels} channels to {streams} streams, which cannot be")]
    Mapping {
        /// Channels that come out.
        channels: u8,
        /// Streams in a packet.
        streams: u8,
    },
}

/// What is wrong with a WAV header.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The file ends within it.
    #[error("is cut off")]
    CutOff,
    /// No `data` chunk.
    #[error("tells of no chunk with sound")]
    NoSound,
    /// Its `data` chunk comes before, or without, its `fmt ` chunk.
    #[error("does not say its format")]
    NoFormat,
    /// None, or more than any recording has.
    #[error("says {0} channels, which no recording has")]
    Channels(u16),
    /// Floating-point samples in the range of integers of more than 16 bits.
    #[error(
        "says floating-point samples, and they go up to {peak:e}, where full scale is 1; scale them, or write integers"
    )]
    Scale {
        /// The loudest sample.
        peak: f64,
    },
}

/// What is wrong with a SPHERE header.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SphereError {
    /// No length in its second line.
    #[error("does not say its length")]
    NoLength,
    /// The file ends within it.
    #[error("is cut off")]
    CutOff,
    /// A field that must be there is not.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A field's value is no number.
    #[error("has a {field} that is no number: {value}")]
    NotANumber {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// No channels, or more than any recording has.
    #[error("says {0} channels, which no recording has")]
    Channels(u64),
    /// More than a rate can be.
    #[error("says a rate of {0} Hz, which no recording has")]
    Rate(u64),
    /// Samples that are not read here.
    #[error(
        "says samples of coding {coding}, {} bytes and byte format {order}, which are not read; sph2pipe turns them into WAV",
        .width.map_or("unknown".to_owned(), |w| w.to_string())
    )]
    Coding {
        /// How a sample is written.
        coding: String,
        /// Bytes of a sample, where the header says it.
        width: Option<u64>,
        /// The order of its bytes.
        order: String,
    },
}
