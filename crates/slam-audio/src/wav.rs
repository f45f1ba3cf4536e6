//! WAV files as a stream: RIFF, and RF64 or BW64 beyond 4 GiB, with integer, float and companded samples.
//!
//! Lengths in headers are often wrong: programs that write into a pipe leave 0 or 2³²−1 there, copies break
//! off, and strangers may say anything. Here a length only ever limits how much is read.

use std::io::{self, Read, Seek, SeekFrom};

use crate::decode::{AudioError, Warnings, mix};

/// Sample frames of a block.
const BLOCK: usize = 8192;
/// No recording has more; each costs `BLOCK` samples of memory.
const MAX_CHANNELS: u16 = 256;
/// The longest format chunk that means anything to us.
const MAX_FORMAT: u64 = 40;

/// How a sample is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
    ALaw,
    MuLaw,
}

impl Encoding {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A WAV file that is being read.
pub(crate) struct Wav<R> {
    reader: R,
    pub(crate) rate_hz: u32,
    channels: usize,
    encoding: Encoding,
    /// Bytes of sound that the header promises; `None` where it does not say.
    left: Option<u64>,
    bytes: Vec<u8>,
    samples: Vec<f32>,
}

/// What a header can turn out to be.
pub(crate) enum Opened<R> {
    /// A file to read here.
    Wav(Wav<R>),
    /// No WAV file, or one of an encoding that is left to others (ADPCM); the reader is at its start again.
    Other(R),
}

/// Reads the header of what may be a WAV file.
pub(crate) fn open<R: Read + Seek>(mut reader: R) -> Result<Opened<R>, AudioError> {
    let mut head = [0; 12];
    let is_wav = match reader.read_exact(&mut head) {
        Ok(()) => matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") && &head[8..] == b"WAVE",
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(e) => return Err(e.into()),
    };
    if !is_wav {
        reader.seek(SeekFrom::Start(0))?;
        return Ok(Opened::Other(reader));
    }
    let damaged = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => AudioError::Track("the WAV header is cut off".into()),
        _ => AudioError::Io(e),
    };
    let (mut format, mut long_length) = (None, None);
    loop {
        let mut chunk = [0; 8];
        reader.read_exact(&mut chunk).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                AudioError::Track("the WAV file has no chunk with sound".into())
            }
            _ => AudioError::Io(e),
        })?;
        let length = u32_at(&chunk, 4);
        let padded = u64::from(length) + u64::from(length & 1);
        match &chunk[..4] {
            b"fmt " => {
                let mut body = Vec::new();
                let known = u64::from(length).min(MAX_FORMAT);
                (&mut reader).take(known).read_to_end(&mut body)?;
                if (body.len() as u64) < known || known < 16 {
                    return Err(AudioError::Track("the WAV header is cut off".into()));
                }
                format = Some(body);
                reader.seek_relative((padded - known) as i64)?;
            }
            b"ds64" if length >= 16 => {
                let mut body = [0; 16];
                reader.read_exact(&mut body).map_err(damaged)?;
                long_length =
                    Some(u64::from(u32_at(&body, 8)) | u64::from(u32_at(&body, 12)) << 32);
                reader.seek_relative((padded - 16) as i64)?;
            }
            b"data" => {
                let Some(format) = format else {
                    return Err(AudioError::Track("the WAV file does not say its format".into()));
                };
                let left = match (length, long_length) {
                    (u32::MAX, Some(long)) => Some(long),
                    // What a program writes that cannot go back to fill it in.
                    (0 | u32::MAX, _) => None,
                    _ => Some(u64::from(length)),
                };
                let Some((rate_hz, channels, encoding)) = parse_format(&format)? else {
                    reader.seek(SeekFrom::Start(0))?;
                    return Ok(Opened::Other(reader));
                };
                return Ok(Opened::Wav(Wav {
                    reader,
                    rate_hz,
                    channels: usize::from(channels),
                    encoding,
                    left,
                    bytes: Vec::new(),
                    samples: Vec::new(),
                }));
            }
            _ => reader.seek_relative(padded as i64)?,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// The rate, the channels and the encoding of a format chunk (at least 16 bytes); `None` of ours.
fn parse_format(body: &[u8]) -> Result<Option<(u32, u16, Encoding)>, AudioError> {
    let (mut tag, channels, rate_hz) = (u16_at(body, 0), u16_at(body, 2), u32_at(body, 4));
    if tag == 0xFFFE && body.len() >= 26 {
        // WAVE_FORMAT_EXTENSIBLE: the sub-format's first two bytes are the tag proper.
        tag = u16_at(body, 24);
    }
    let encoding = match (tag, u16_at(body, 14)) {
        (1, 8) => Encoding::U8,
        (1, 16) => Encoding::I16,
        (1, 24) => Encoding::I24,
        (1, 32) => Encoding::I32,
        (3, 32) => Encoding::F32,
        (3, 64) => Encoding::F64,
        (6, 8) => Encoding::ALaw,
        (7, 8) => Encoding::MuLaw,
        _ => return Ok(None),
    };
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(AudioError::Track(format!("a WAV file of {channels} channels")));
    }
    Ok(Some((rate_hz, channels, encoding)))
}

impl<R: Read> Wav<R> {
    /// Appends the next block as mono samples; `false` at the end.
    pub(crate) fn read(
        &mut self,
        warnings: &mut Warnings,
        out: &mut Vec<f32>,
    ) -> Result<bool, AudioError> {
        let frame = self.encoding.bytes() * self.channels;
        let wanted =
            self.left.map_or((BLOCK * frame) as u64, |left| left.min((BLOCK * frame) as u64));
        self.bytes.clear();
        (&mut self.reader).take(wanted).read_to_end(&mut self.bytes)?;
        let got = self.bytes.len() as u64;
        let over = self.bytes.len() % frame;
        if over > 0 {
            warnings.add("the file ends within a sample frame");
        }
        if let Some(left) = &mut self.left {
            *left -= got;
            if got < wanted {
                warnings.add("the file ends before the length in its header");
                *left = 0;
            }
        }
        self.samples.clear();
        let whole = &self.bytes[..self.bytes.len() - over];
        convert(self.encoding, whole, &mut self.samples);
        mix(&self.samples, self.channels, warnings, out);
        Ok(got == wanted && self.left != Some(0))
    }
}

fn convert(encoding: Encoding, bytes: &[u8], out: &mut Vec<f32>) {
    const I32: f32 = 1.0 / 2_147_483_648.0;
    match encoding {
        Encoding::U8 => out.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
        Encoding::I16 => {
            out.extend(
                bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
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
