//! FLAC (RFC 9639) for 16-bit mono: a small encoder, and a check of files without decoding them.
//!
//! The encoder's bytes are a function of the samples alone, so that shards repeat byte for byte under any
//! library version. It trades a few percent of size against linear prediction for speed.

mod crc;
mod encode;
mod verify;

pub use encode::encode;
pub use verify::{is_whole, probe_mono16};
