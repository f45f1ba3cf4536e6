//! Decoding of any audio file into mono samples, by content and not by name, block by block.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::another;
use crate::compressed::Compressed;
use crate::error::AudioError;
use crate::tag::{Stretch, Untagged};
use crate::uncompressed::{self, Known, Uncompressed};
use crate::warning::{Warning, Warnings};

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

/// So many recordings in one file are read, each with a reader of its own.
const MAX_RECORDINGS: u32 = 1000;

/// A recording that is being decoded: mono samples, one block after the other.
///
/// Memory is that of a few blocks, whatever the file's length and whatever its header claims. Where a file holds
/// several recordings of one rate, they follow each other.
pub struct Decoder {
    inner: Inner,
    /// The file's next recording, with a reader of its own.
    next: Option<Part>,
    recordings: u32,
    warnings: Warnings,
    any: bool,
    ended: bool,
}

enum Inner {
    File(Uncompressed<Untagged<BufReader<File>>>),
    Memory(Uncompressed<Untagged<Cursor<Vec<u8>>>>),
    Compressed(Box<Compressed>),
}

/// A part of a file that begins with a recording.
enum Part {
    File { path: PathBuf, start: u64 },
    Memory(Vec<u8>),
}

/// Reads the header of what may hold uncompressed samples, with tags in front or without.
fn uncompressed<R: Read + Seek>(reader: R, start: u64) -> Result<Known<Untagged<R>>, AudioError> {
    match uncompressed::open(Untagged::from(reader, start))? {
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

impl Part {
    /// Opens the recording that it begins with; what is behind it that this one's reader would not read.
    fn open(self, warnings: &mut Warnings) -> Result<(Inner, Option<Self>), AudioError> {
        match self {
            Self::File { path, start } => {
                let mut file = BufReader::with_capacity(1 << 16, File::open(&path)?);
                if start > 0 {
                    file.seek(SeekFrom::Start(start))?;
                }
                let mut reader = match uncompressed(file, start)? {
                    Known::Uncompressed(file) => return Ok((Inner::File(file), None)),
                    Known::Other(reader) => reader,
                };
                let length = another::begins(&mut reader)?;
                let start = reader.start();
                let file = Stretch::new(reader.into_inner().into_inner(), start, length)?;
                let inner = Inner::Compressed(Box::new(Compressed::open(file, warnings)?));
                Ok((inner, length.map(|length| Self::File { path, start: start + length })))
            }
            Self::Memory(bytes) => {
                let mut reader = match uncompressed(Cursor::new(bytes), 0)? {
                    Known::Uncompressed(memory) => return Ok((Inner::Memory(memory), None)),
                    Known::Other(reader) => reader,
                };
                let length = another::begins(&mut reader)?;
                let start = reader.start();
                let mut bytes = reader.into_inner().into_inner();
                let behind = length.map(|length| bytes.split_off((start + length) as usize));
                let memory = Stretch::new(Cursor::new(bytes), start, None)?;
                let inner = Inner::Compressed(Box::new(Compressed::open(memory, warnings)?));
                Ok((inner, behind.map(Self::Memory)))
            }
        }
    }
}

impl Inner {
    fn rate_hz(&self) -> u32 {
        match self {
            Self::File(file) => file.rate_hz(),
            Self::Memory(memory) => memory.rate_hz(),
            Self::Compressed(compressed) => compressed.rate_hz,
        }
    }

    fn read(&mut self, warnings: &mut Warnings, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        match self {
            Self::File(file) => file.read(warnings, out),
            Self::Memory(memory) => memory.read(warnings, out),
            Self::Compressed(compressed) => Ok(compressed.read(warnings, out)),
        }
    }
}

impl Decoder {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened, is no audio of a known format, or has no track that can be decoded.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        Self::of(Part::File { path: path.to_owned(), start: 0 })
    }

    /// Opens a file held in memory.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, AudioError> {
        Self::of(Part::Memory(bytes))
    }

    fn of(part: Part) -> Result<Self, AudioError> {
        let mut warnings = Warnings::default();
        let (inner, next) = part.open(&mut warnings)?;
        Ok(Self { inner, next, recordings: 1, warnings, any: false, ended: false })
    }

    /// The sampling rate in Hz, as the file states it.
    pub fn rate_hz(&self) -> u32 {
        self.inner.rate_hz()
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
        let mut more = self.inner.read(&mut self.warnings, out)?;
        if !more && let Some(part) = self.next.take() {
            more = self.go_on(part);
        }
        self.any |= out.len() > before;
        self.ended = !more;
        if self.ended && !self.any {
            return Err(AudioError::Empty(self.warnings.first().cloned()));
        }
        Ok(more)
    }

    /// Goes on with the file's next recording, if it can be read and has the same rate.
    fn go_on(&mut self, part: Part) -> bool {
        self.recordings += 1;
        if self.recordings > MAX_RECORDINGS {
            self.warnings.add(Warning::AnotherRecording);
            return false;
        }
        match part.open(&mut self.warnings) {
            Ok((inner, next)) if inner.rate_hz() == self.rate_hz() => {
                self.inner = inner;
                self.next = next;
                true
            }
            Ok((inner, _)) => {
                self.warnings.add(Warning::RateChanges { rate_hz: inner.rate_hz() });
                false
            }
            Err(_) => {
                self.warnings.add(Warning::AnotherRecording);
                false
            }
        }
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
