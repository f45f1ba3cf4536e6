//! MPEG audio, layers I to III, as a stream of frames (ISO/IEC 11172-3, 2.4; 13818-3).
//!
//! Such a file has no header of its own: frames follow each other, tags stand between them, and one stream may
//! follow another. Nothing here is estimated: the sound ends where the frames do.

mod frames;
mod header;
mod info;

pub(crate) use frames::{Found, Frames};
pub(crate) use header::Header;
