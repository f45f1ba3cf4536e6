//! Uncompressed samples as a stream, whatever header told of them.

use std::io::{self, Read, Seek, SeekFrom};

use crate::error::AudioError;
use crate::mix::mix;
use crate::warning::{Warning, Warnings};

/// Sample frames of a block.
const BLOCK: usize = 8192;
/// No recording has more; each costs `BLOCK` samples of memory.
pub(crate) const MAX_CHANNELS: u16 = 256;

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    U8,
    I16,
    I16BigEndian,
    I24,
    I32,
    F32,
    F64,
    ALaw,
    MuLaw,
}

impl Encoding {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::I16 | Self::I16BigEndian => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// What full scale is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// As the encoding has it.
    Usual,
    /// Floating-point samples that are 16-bit integers by their range.
    Integers,
}

/// What a header says of the samples behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) rate_hz: u32,
    /// 1 to [`MAX_CHANNELS`].
    pub(crate) channels: u16,
    pub(crate) encoding: Encoding,
    pub(crate) scale: Scale,
    /// Bytes of sound; `None` where the header does not say.
    pub(crate) bytes: Option<u64>,
}

/// A file of such samples that is being read.
pub(crate) struct Pcm<R> {
    reader: R,
    format: Format,
    /// What is left of its bytes.
    left: Option<u64>,
    bytes: Vec<u8>,
    samples: Vec<f32>,
}

/// What a header can turn out to be.
pub(crate) enum Opened<R> {
    /// Samples to read here.
    Pcm(Pcm<R>),
    /// Another file, or an encoding that is left to others (ADPCM); the reader is at its start again.
    Other(R),
}

/// What is behind the last sample.
pub(crate) enum Following {
    Nothing,
    /// Bytes that belong to no recording.
    Bytes,
    /// Another recording, or more of this one; the reader stands at its first sample.
    Recording(Format),
    /// Another recording that cannot be read.
    Unreadable,
}

/// The first bytes of a file, if it has as many and they are those of a form; else the reader is at its start
/// again.
pub(crate) fn head<const N: usize>(
    reader: &mut (impl Read + Seek),
    is_form: impl Fn(&[u8; N]) -> bool,
) -> Result<Option<[u8; N]>, AudioError> {
    let mut head = [0; N];
    let known = match reader.read_exact(&mut head) {
        Ok(()) => is_form(&head),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(e) => return Err(e.into()),
    };
    if !known {
        reader.seek(SeekFrom::Start(0))?;
    }
    Ok(known.then_some(head))
}

impl<R: Read> Pcm<R> {
    /// A reader that stands at the first sample.
    pub(crate) fn new(reader: R, format: Format) -> Self {
        Self { reader, left: format.bytes, format, bytes: Vec::new(), samples: Vec::new() }
    }

    /// What is behind the samples, and how they were stored.
    pub(crate) fn behind(&mut self) -> (&mut R, Format) {
        (&mut self.reader, self.format)
    }

    /// Goes on with other samples of the same rate, at whose first one the reader stands.
    pub(crate) fn go_on(&mut self, format: Format) {
        self.left = format.bytes;
        self.format = format;
    }

    /// The sampling rate in Hz.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.format.rate_hz
    }

    /// Appends the next block as mono samples; `false` at the end.
    pub(crate) fn read(
        &mut self,
        warnings: &mut Warnings,
        out: &mut Vec<f32>,
    ) -> Result<bool, AudioError> {
        let Format { channels, encoding, scale, .. } = self.format;
        let channels = usize::from(channels);
        let frame = encoding.bytes() * channels;
        let block = (BLOCK * frame) as u64;
        let wanted = self.left.map_or(block, |left| left.min(block));
        self.bytes.clear();
        (&mut self.reader).take(wanted).read_to_end(&mut self.bytes)?;
        let got = self.bytes.len() as u64;
        let over = self.bytes.len() % frame;
        if over > 0 {
            warnings.add(Warning::CutFrame);
        }
        if let Some(left) = &mut self.left {
            *left -= got;
            if got < wanted {
                warnings.add(Warning::CutOff);
                *left = 0;
            }
        }
        self.samples.clear();
        let whole = &self.bytes[..self.bytes.len() - over];
        convert(encoding, whole, &mut self.samples);
        if scale == Scale::Integers && !self.samples.is_empty() {
            warnings.add_once(Warning::IntegerRange);
            self.samples.iter_mut().for_each(|x| *x /= 32_768.0);
        }
        mix(&self.samples, channels, warnings, out);
        Ok(got == wanted && self.left != Some(0))
    }
}

pub(crate) fn convert(encoding: Encoding, bytes: &[u8], out: &mut Vec<f32>) {
    const I32: f32 = 1.0 / 2_147_483_648.0;
    match encoding {
        Encoding::U8 => out.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
        Encoding::I16 => {
            out.extend(
                bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            );
        }
        Encoding::I16BigEndian => {
            out.extend(
                bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_be_bytes(b)) / 32_768.0),
            );
        }
        Encoding::I24 => out.extend(
            bytes
                .as_chunks::<3>()
                .0
                .iter()
                .map(|&[a, b, c]| i32::from_le_bytes([0, a, b, c]) as f32 * I32),
        ),
        Encoding::I32 => {
            out.extend(bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b) as f32 * I32));
        }
        Encoding::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        Encoding::F64 => {
            out.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32));
        }
        Encoding::ALaw => out.extend(bytes.iter().map(|&b| f32::from(a_law(b)) / 32_768.0)),
        Encoding::MuLaw => out.extend(bytes.iter().map(|&b| f32::from(mu_law(b)) / 32_768.0)),
    }
}

/// µ-law (ITU-T G.711) as 16 bits: the complement of sign, three bits of exponent, four of mantissa.
fn mu_law(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = ((i16::from(code & 0x0F) << 3) + 0x84) << (code >> 4 & 7);
    if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

/// A-law (ITU-T G.711) as 16 bits: every other bit is inverted.
fn a_law(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let mantissa = i16::from(code & 0x0F) << 4;
    let magnitude = match code >> 4 & 7 {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}
