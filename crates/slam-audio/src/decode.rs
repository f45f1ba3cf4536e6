//! Decoding of any audio file into mono samples, by content and not by name, block by block.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use crate::compressed::Compressed;
use crate::pcm::{Opened, Pcm};
use crate::resample::ResampleError;
use crate::{sphere, wav};

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
    #[error(
        "not an audio file of a known format (WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, AAC, M4A, NIST SPHERE): {0}"
    )]
    Format(String),
    /// A known format without a track that can be decoded.
    #[error("no audio track that can be decoded: {0}")]
    Track(String),
    /// A track whose sound could not be decoded at all.
    #[error("no sample could be decoded{}", .0.as_ref().map_or(String::new(), |w| format!(": {w}")))]
    Empty(Option<String>),
    /// Its rate is no recording's.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// What was wrong with a file that could be read, each kind once with its count: memory is bounded however
/// broken the file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(Vec<(String, u64)>);

impl Warnings {
    /// Kinds that are told apart.
    const KINDS: usize = 8;

    pub(crate) fn add(&mut self, what: &str) {
        let full = self.0.len() >= Self::KINDS;
        let known = self.0.iter().position(|(text, _)| text == what);
        match known.or(full.then_some(Self::KINDS - 1)) {
            Some(i) => self.0[i].1 += 1,
            None => self.0.push((what.to_owned(), 1)),
        }
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One sentence a kind, with its count where it occurred more than once.
    pub fn messages(&self) -> Vec<String> {
        let message = |(text, count): &(String, u64)| match count {
            1 => text.clone(),
            n => format!("{text} ({n} times)"),
        };
        self.0.iter().map(message).collect()
    }
}

/// Floating-point files may go beyond full scale, 1, and some hold 16-bit integers; beyond that, filters would
/// overflow.
const LOUDEST: f32 = 65_536.0;

/// Appends interleaved samples as mono ones, the mean of their channels; what is no number becomes silence.
pub(crate) fn mix(
    interleaved: &[f32],
    channels: usize,
    warnings: &mut Warnings,
    out: &mut Vec<f32>,
) {
    let first = out.len();
    match channels {
        1 => out.extend_from_slice(interleaved),
        // In f64, so that the mean of 16-bit samples is the exact one, rounded once.
        2 => {
            let pairs = interleaved.as_chunks().0.iter();
            out.extend(pairs.map(|&[a, b]| f64::midpoint(f64::from(a), f64::from(b)) as f32));
        }
        n => {
            let mean = |frame: &[f32]| frame.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            out.extend(interleaved.chunks_exact(n.max(1)).map(|frame| mean(frame) as f32));
        }
    }
    let mixed = &mut out[first..];
    let is_sound = |x: &f32| x.abs() <= LOUDEST;
    if !mixed.iter().all(is_sound) {
        warnings.add("samples that are no numbers, or absurdly large, taken as silence");
        mixed.iter_mut().filter(|x| !is_sound(x)).for_each(|x| *x = 0.0);
    }
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
    File(Pcm<BufReader<File>>),
    Memory(Pcm<Cursor<Vec<u8>>>),
    Compressed(Box<Compressed>),
}

/// Reads the header of what may hold uncompressed samples.
fn uncompressed<R: Read + Seek>(reader: R) -> Result<Opened<R>, AudioError> {
    match wav::open(reader)? {
        Opened::Other(reader) => sphere::open(reader),
        opened @ Opened::Pcm(_) => Ok(opened),
    }
}

impl Decoder {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened, is no audio of a known format, or has no track that can be decoded.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        Ok(Self::of(match uncompressed(BufReader::with_capacity(1 << 16, File::open(path)?))? {
            Opened::Pcm(pcm) => Inner::File(pcm),
            Opened::Other(reader) => {
                Inner::Compressed(Box::new(Compressed::open(Box::new(reader.into_inner()))?))
            }
        }))
    }

    /// Opens a file held in memory.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, AudioError> {
        Ok(Self::of(match uncompressed(Cursor::new(bytes))? {
            Opened::Pcm(pcm) => Inner::Memory(pcm),
            Opened::Other(reader) => {
                Inner::Compressed(Box::new(Compressed::open(Box::new(reader))?))
            }
        }))
    }

    fn of(inner: Inner) -> Self {
        Self { inner, warnings: Warnings::default(), any: false, ended: false }
    }

    /// The sampling rate in Hz, as the file states it.
    pub fn rate_hz(&self) -> u32 {
        match &self.inner {
            Inner::File(pcm) => pcm.rate_hz(),
            Inner::Memory(pcm) => pcm.rate_hz(),
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
            Inner::File(pcm) => pcm.read(warnings, out)?,
            Inner::Memory(pcm) => pcm.read(warnings, out)?,
            Inner::Compressed(c) => c.read(warnings, out),
        };
        self.any |= out.len() > before;
        self.ended = !more;
        if self.ended && !self.any {
            return Err(AudioError::Empty(self.warnings.messages().into_iter().next()));
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
        Ok(Audio { samples, rate_hz: self.rate_hz(), warnings: self.warnings.messages() })
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
