//! NIST SPHERE headers, as TED-LIUM, Switchboard and TIMIT have them: lines of `name -type value` in a block of
//! 1,024 bytes (or a multiple), and the samples behind it.

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use crate::error::{AudioError, SphereError};
use crate::pcm::{self, Encoding, Following, Format, MAX_CHANNELS, Opened, Pcm, Scale};

/// How every header begins: its first line, and the second one with its length.
const MAGIC: &[u8; 8] = b"NIST_1A\n";
const LENGTH: usize = 8;
/// Headers that are written are of 1,024 bytes.
const LONGEST: usize = 1 << 16;
/// Behind the sound so many bytes are looked at.
const LOOKED_AT: u64 = 1 << 16;

type Head = [u8; MAGIC.len() + LENGTH];

/// Reads the header of what may be a SPHERE file.
pub(crate) fn open<R: Read + Seek>(mut reader: R) -> Result<Opened<R>, AudioError> {
    let is_sphere = |head: &Head| head.starts_with(MAGIC);
    let Some(head) = pcm::head(&mut reader, is_sphere)? else { return Ok(Opened::Other(reader)) };
    let format = header(&mut reader, &head)?;
    Ok(Opened::Pcm(Pcm::new(reader, format)))
}

/// Reads the rest of a header.
fn header(reader: &mut impl Read, head: &Head) -> Result<Format, AudioError> {
    let length = std::str::from_utf8(&head[MAGIC.len()..]).ok().and_then(|s| s.trim().parse().ok());
    let length: usize =
        length.filter(|l| (head.len()..=LONGEST).contains(l)).ok_or(SphereError::NoLength)?;
    let mut text = vec![0; length - head.len()];
    reader.read_exact(&mut text).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => SphereError::CutOff.into(),
        _ => AudioError::Io(e),
    })?;
    Ok(parse(&String::from_utf8_lossy(&text))?)
}

/// What follows the samples that a header counts.
pub(crate) fn following(reader: &mut impl Read) -> Result<Following, AudioError> {
    let mut behind = Vec::new();
    reader.by_ref().take((MAGIC.len() + LENGTH) as u64).read_to_end(&mut behind)?;
    if let Some(head) = behind.first_chunk().filter(|head| head.starts_with(MAGIC)) {
        return match header(reader, head) {
            Ok(format) => Ok(Following::Recording(format)),
            Err(AudioError::Io(e)) => Err(e.into()),
            Err(_) => Ok(Following::Unreadable),
        };
    }
    reader.take(LOOKED_AT).read_to_end(&mut behind)?;
    // Some programs fill the last block.
    let filled = behind.iter().all(|&byte| byte == 0);
    Ok(if filled { Following::Nothing } else { Following::Bytes })
}

/// The format that the lines of a header tell.
fn parse(text: &str) -> Result<Format, SphereError> {
    let lines = text.lines().take_while(|l| l.trim() != "end_head");
    let fields: HashMap<&str, &str> = lines
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            Some((words.next()?, words.nth(1)?.trim()))
        })
        .collect();
    let number = |field: &'static str| -> Result<Option<u64>, SphereError> {
        let not = |value: &str| SphereError::NotANumber { field, value: value.to_owned() };
        let parse = |value: &&str| value.parse().map_err(|_| not(value));
        fields.get(field).map(parse).transpose()
    };
    let rate_hz = number("sample_rate")?.ok_or(SphereError::Missing("sample_rate"))?;
    let channels = number("channel_count")?.unwrap_or(1);
    let width = number("sample_n_bytes")?;
    let coding = fields.get("sample_coding").copied().unwrap_or("pcm");
    let order = fields.get("sample_byte_format").copied();
    let encoding = match (coding, width, order) {
        ("pcm", None | Some(2), None | Some("01")) => Encoding::I16,
        ("pcm", None | Some(2), Some("10")) => Encoding::I16BigEndian,
        ("ulaw" | "mu-law", None | Some(1), _) => Encoding::MuLaw,
        ("alaw" | "a-law", None | Some(1), _) => Encoding::ALaw,
        _ => {
            let (coding, order) = (coding.to_owned(), order.unwrap_or("unknown").to_owned());
            return Err(SphereError::Coding { coding, width, order });
        }
    };
    let count = u16::try_from(channels).ok().filter(|n| (1..=MAX_CHANNELS).contains(n));
    let channels = count.ok_or(SphereError::Channels(channels))?;
    let rate_hz = u32::try_from(rate_hz).map_err(|_| SphereError::Rate(rate_hz))?;
    // Sample frames, which a program that writes into a pipe leaves at 0.
    let frames = number("sample_count")?.filter(|n| *n > 0);
    let frame = u64::from(channels) * encoding.bytes() as u64;
    let bytes = frames.and_then(|n| n.checked_mul(frame));
    Ok(Format { rate_hz, channels, encoding, scale: Scale::Usual, bytes })
}
