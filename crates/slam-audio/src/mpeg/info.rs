//! The frame without sound that encoders put first: Xing's or Info with LAME's extension, or VBRI.

use symphonia::core::checksum::Crc16AnsiLe;
use symphonia::core::io::Monitor;

use super::header::{self, Header, Layer};

/// Samples of a decoder's own delay, which an encoder does not count as its own.
const DECODER_DELAY: u64 = 528 + 1;
/// Encoders whose extension tells their delay.
const TELL_DELAY: [&[u8; 4]; 3] = [b"LAME", b"Lavf", b"Lavc"];

/// What such a frame says of the stream behind it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Frames of the stream, without this one; `None` if it does not say, or says nonsense.
    pub(super) frames: Option<u64>,
    /// Samples before the sound.
    pub(super) delay: u64,
    /// Samples behind the sound in the frames counted.
    pub(super) padding: u64,
}

impl Info {
    /// Reads the frame; `None` if it holds sound.
    pub(super) fn read(frame: &[u8], header: &Header) -> Option<Self> {
        if header.layer != Layer::Three {
            return None;
        }
        xing(frame, header).or_else(|| vbri(frame, header))
    }
}

/// Whether a name stands at a place of a frame and all before it, from behind the header, is 0.
fn stands_at(frame: &[u8], header: &Header, at: usize, name: &[u8]) -> bool {
    let first = header::LENGTH + if header.has_checksum { 2 } else { 0 };
    frame.get(at..at + name.len()) == Some(name)
        && frame.get(first..at).is_some_and(|side| side.iter().all(|&byte| byte == 0))
}

fn xing(frame: &[u8], header: &Header) -> Option<Info> {
    let at = header::LENGTH + header.side_information();
    let named = |name: &[u8; 4]| stands_at(frame, header, at, name);
    if !named(b"Xing") && !named(b"Info") {
        return None;
    }
    let mut rest = frame.get(at + 4..)?;
    let flags = number(&mut rest, 4)?;
    let mut field = |flag: u64, length: usize| -> Option<Option<u64>> {
        if flags & flag == 0 { Some(None) } else { number(&mut rest, length).map(Some) }
    };
    let frames = field(1, 4)?;
    field(2, 4)?;
    field(4, 100)?;
    field(8, 4)?;
    let (delay, padding) = lame(frame, rest, header).unwrap_or_default();
    Some(Info { frames: frames.filter(|&n| n > 0), delay, padding })
}

/// The delay and the padding in LAME's extension; `None` without one, or where its checksum is wrong.
fn lame(frame: &[u8], extension: &[u8], header: &Header) -> Option<(u64, u64)> {
    let (encoder, mut rest) = extension.split_at_checked(9)?;
    number(&mut rest, 12)?;
    let trim = number(&mut rest, 3)?;
    let is_lame = encoder.starts_with(b"LAME");
    if header.has_checksum || is_lame {
        // Up to the checksum; a file cut short, or a checksum of 0, is taken as it is.
        if let Some((_, mut rest)) = rest.split_at_checked(10)
            && let summed = frame.len() - rest.len()
            && let Some(expected) = number(&mut rest, 2)
            && expected != 0
        {
            let mut crc = Crc16AnsiLe::new(0);
            crc.process_buf_bytes(&frame[..summed]);
            if u64::from(crc.crc()) != expected {
                return None;
            }
        }
    }
    let tells = TELL_DELAY.iter().any(|name| encoder.starts_with(name.as_slice()));
    tells.then(|| (DECODER_DELAY + (trim >> 12), (trim & 0xFFF).saturating_sub(DECODER_DELAY)))
}

fn vbri(frame: &[u8], header: &Header) -> Option<Info> {
    let at = header::LENGTH + 32;
    let long_enough = frame.len() >= at + 26;
    let version = frame.get(at + 4..at + 6)?;
    // Its number of frames cuts nothing: it tells of no padding.
    (long_enough && stands_at(frame, header, at, b"VBRI") && version == [0, 1]).then(Info::default)
}

/// Takes a number of so many bytes, the last eight of which count.
fn number(bytes: &mut &[u8], length: usize) -> Option<u64> {
    let (number, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(number.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}
