//! WAV headers: RIFF, and RF64 or BW64 beyond 4 GiB.
//!
//! Lengths in headers are often wrong: programs that write into a pipe leave 0 or 2³²−1 there, copies break
//! off, and strangers may say anything. Here a length only ever limits how much is read.

use std::io::{self, Read, Seek, SeekFrom};

use crate::decode::AudioError;
use crate::pcm::{self, Encoding, Format, MAX_CHANNELS, Opened, Pcm};

/// The longest format chunk that means anything to us.
const MAX_FORMAT: u64 = 40;

/// Reads the header of what may be a WAV file.
pub(crate) fn open<R: Read + Seek>(mut reader: R) -> Result<Opened<R>, AudioError> {
    let is_wav = |head: &[u8; 12]| {
        matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") && &head[8..] == b"WAVE"
    };
    if pcm::head(&mut reader, is_wav)?.is_none() {
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
                let format = Format { rate_hz, channels, encoding, bytes: left };
                return Ok(Opened::Pcm(Pcm::new(reader, format)));
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
