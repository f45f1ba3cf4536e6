//! Decoding of any audio file into mono samples, by content and not by name, block by block.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use crate::compressed::Compressed;
use crate::error::AudioError;
use crate::tag::Untagged;
use crate::uncompressed::{self, Known, Uncompressed};
use crate::warning::Warnings;

/// Decoded speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Mono samples in [-1, 1]; several channels are averaged.
    pub samples: Vec<f32>,
    /// Their rate in Hz.
    pub rate_hz: u32,
    /// What was wrong with the file although most of it could be read, in the order met.
    pub warnings: Warnings,
}

/// A recording that is being decoded: mono samples, one block after the other.
///
/// Memory is that of a few blocks, whatever the file's length and whatever its header claims.
pub struct Decoder {
    inner: Inner,
    warnings: Warnings,
    any: bool,
    ended: bool,
}

enum Inner {
    File(Uncompressed<Untagged<BufReader<File>>>),
    Memory(Uncompressed<Untagged<Cursor<Vec<u8>>>>),
    Compressed(Box<Compressed>),
}

/// Reads the header of what may hold uncompressed samples, with tags in front or without.
fn uncompressed<R: Read + Seek>(reader: R) -> Result<Known<Untagged<R>>, AudioError> {
    match uncompressed::open(Untagged::new(reader))? {
        Known::Other(mut reader) => {
            if reader.skip_tags()? {
                uncompressed::open(reader)
            } else {
                Ok(Known::Other(reader))
            }
        }
        known @ Known::Uncompressed(_) => Ok(known),
    }
}

impl Decoder {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened, is no audio of a known format, or has no track that can be decoded.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        let mut warnings = Warnings::default();
        let file = BufReader::with_capacity(1 << 16, File::open(path)?);
        let inner = match uncompressed(file)? {
            Known::Uncompressed(file) => Inner::File(file),
            Known::Other(reader) => {
                let source = reader.into_source(BufReader::into_inner)?;
                Inner::Compressed(Box::new(Compressed::open(source, &mut warnings)?))
            }
        };
        Ok(Self { inner, warnings, any: false, ended: false })
    }

    /// Opens a file held in memory.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, AudioError> {
        let mut warnings = Warnings::default();
        let inner = match uncompressed(Cursor::new(bytes))? {
            Known::Uncompressed(file) => Inner::Memory(file),
            Known::Other(reader) => {
                let source = reader.into_source(|memory| memory)?;
                Inner::Compressed(Box::new(Compressed::open(source, &mut warnings)?))
            }
        };
        Ok(Self { inner, warnings, any: false, ended: false })
    }

    /// The sampling rate in Hz, as the file states it.
    pub fn rate_hz(&self) -> u32 {
        match &self.inner {
            Inner::File(file) => file.rate_hz(),
            Inner::Memory(file) => file.rate_hz(),
            Inner::Compressed(c) => c.rate_hz,
        }
    }

    /// Appends the next block of mono samples to `out`; `false` when there are no more.
    ///
    /// # Errors
    /// If the file cannot be read, or ends without a single sample. Damage after good samples is a warning.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.ended {
            return Ok(false);
        }
        let before = out.len();
        let warnings = &mut self.warnings;
        let more = match &mut self.inner {
            Inner::File(file) => file.read(warnings, out)?,
            Inner::Memory(file) => file.read(warnings, out)?,
            Inner::Compressed(c) => c.read(warnings, out),
        };
        self.any |= out.len() > before;
        self.ended = !more;
        if self.ended && !self.any {
            return Err(AudioError::Empty(self.warnings.first().cloned()));
        }
        Ok(more)
    }

    /// What was wrong so far.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// All that is left, as one piece.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn read_all(mut self) -> Result<Audio, AudioError> {
        let mut samples = Vec::new();
        while self.read(&mut samples)? {}
        Ok(Audio { samples, rate_hz: self.rate_hz(), warnings: self.warnings })
    }
}

/// Decodes a file held in memory.
///
/// # Errors
/// If it is no audio of a known format, or no sample of it can be decoded. Damage after good samples is a
/// warning.
pub fn decode_bytes(bytes: &[u8]) -> Result<Audio, AudioError> {
    Decoder::from_bytes(bytes.to_vec())?.read_all()
}

/// Decodes a file.
///
/// # Errors
/// As [`decode_bytes`], and if the file cannot be opened.
pub fn decode_file(path: &Path) -> Result<Audio, AudioError> {
    Decoder::open(path)?.read_all()
}
