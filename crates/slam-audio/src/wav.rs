//! WAV headers: RIFF, and RF64 or BW64 beyond 4 GiB.
//!
//! Lengths in headers are often wrong: programs that write into a pipe leave 0 or 2³²−1 there, copies break
//! off, and strangers may say anything. Here a length only ever limits how much is read.

use std::io::{self, Read, Seek, SeekFrom};

use crate::chunk::{self, Chunk};
use crate::error::{AudioError, WavError};
use crate::float_range;
use crate::pcm::{self, Encoding, Following, Format, MAX_CHANNELS, Opened, Pcm, Scale};

/// The longest format chunk that means anything to us.
const MAX_FORMAT: u64 = 40;
/// Behind the sound so many bytes are looked at.
const LOOKED_AT: u64 = 1 << 16;

fn is_riff(id: &[u8]) -> bool {
    matches!(id, b"RIFF" | b"RF64" | b"BW64")
}

/// Reads the header of what may be a WAV file.
pub(crate) fn open<R: Read + Seek>(mut reader: R) -> Result<Opened<R>, AudioError> {
    let is_wav = |head: &[u8; 12]| is_riff(&head[..4]) && &head[8..] == b"WAVE";
    if pcm::head(&mut reader, is_wav)?.is_none() {
        return Ok(Opened::Other(reader));
    }
    if let Some(format) = header(&mut reader)? {
        return Ok(Opened::Pcm(Pcm::new(reader, format)));
    }
    reader.seek(SeekFrom::Start(0))?;
    Ok(Opened::Other(reader))
}

/// Reads the chunks from behind `WAVE` to the first sample; `None` of an encoding that is left to others.
fn header<R: Read + Seek>(reader: &mut R) -> Result<Option<Format>, AudioError> {
    let (mut format, mut long_length) = (None, None);
    let (mut length_before, mut is_empty) = (0, false);
    loop {
        let Some(Chunk { id, length }) = chunk::next(reader, length_before)? else {
            return Err(if is_empty { AudioError::Empty(None) } else { WavError::NoSound.into() });
        };
        length_before = length;
        match &id {
            b"fmt " => {
                let known = u64::from(length).min(MAX_FORMAT);
                let body = body(reader, known)?;
                if known < 16 {
                    return Err(WavError::CutOff.into());
                }
                format = Some(body);
                reader.seek_relative((u64::from(length) - known) as i64)?;
            }
            b"ds64" if length >= 16 => {
                let body = body(reader, 16)?;
                long_length =
                    Some(u64::from(u32_at(&body, 8)) | u64::from(u32_at(&body, 12)) << 32);
                reader.seek_relative(i64::from(length) - 16)?;
            }
            b"data" => {
                let Some(format) = &format else { return Err(WavError::NoFormat.into()) };
                if length == 0 && long_length.is_none() && chunk::only_chunks_follow(reader)? {
                    is_empty = true;
                    continue;
                }
                let bytes = match (length, long_length) {
                    (u32::MAX, Some(long)) => Some(long),
                    // What a program writes that cannot go back to fill it in.
                    (0 | u32::MAX, _) => None,
                    _ => Some(u64::from(length)),
                };
                let Some((rate_hz, channels, encoding)) = parse_format(format)? else {
                    return Ok(None);
                };
                let scale = Scale::Usual;
                let mut format = Format { rate_hz, channels, encoding, scale, bytes };
                format.scale = float_range::scale(reader, &format)?;
                return Ok(Some(format));
            }
            _ => reader.seek_relative(i64::from(length))?,
        }
    }
}

/// What follows the sound of a `data` chunk.
pub(crate) fn following<R: Read + Seek>(
    reader: &mut R,
    format: Format,
    data_length: u64,
) -> Result<Following, AudioError> {
    let mut length_before = (data_length & 1) as u32;
    while let Some(Chunk { id, length }) = chunk::next(reader, length_before)? {
        length_before = length;
        if is_riff(&id) {
            let mut form = [0; 4];
            let is_wav = match reader.read_exact(&mut form) {
                Ok(()) => &form == b"WAVE",
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(e) => return Err(e.into()),
            };
            return match if is_wav { header(reader) } else { Ok(None) } {
                Ok(Some(format)) => Ok(Following::Recording(format)),
                Err(AudioError::Io(e)) => Err(e.into()),
                Err(AudioError::Empty(_)) => Ok(Following::Nothing),
                Ok(None) | Err(_) => Ok(Following::Unreadable),
            };
        }
        if &id == b"data" {
            return Ok(Following::Recording(Format { bytes: Some(u64::from(length)), ..format }));
        }
        if !chunk::is_id(&id) {
            let mut rest = Vec::new();
            reader.by_ref().take(LOOKED_AT).read_to_end(&mut rest)?;
            let zeros = id.iter().chain(&length.to_le_bytes()).chain(&rest).all(|&byte| byte == 0);
            return Ok(if zeros { Following::Nothing } else { Following::Bytes });
        }
        io::copy(&mut reader.by_ref().take(u64::from(length)), &mut io::sink())?;
    }
    Ok(Following::Nothing)
}

/// The first bytes of a chunk.
fn body(reader: &mut impl Read, length: u64) -> Result<Vec<u8>, AudioError> {
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length { Err(WavError::CutOff.into()) } else { Ok(body) }
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
        return Err(WavError::Channels(channels).into());
    }
    Ok(Some((rate_hz, channels, encoding)))
}
