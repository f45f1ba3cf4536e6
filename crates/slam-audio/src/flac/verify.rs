//! Whether a file is whole, from its frames' checksums.

use super::crc::{crc8, crc16_from};

/// A header's longest form: sync and codes, 7 bytes of number, 2 of block size, 2 of rate, and the checksum.
const MAX_HEADER: usize = 16;

/// The number of samples and the rate in Hz that a FLAC file's header promises if it is 16-bit mono, else
/// `None`. The first 26 bytes are enough.
pub fn probe_mono16(bytes: &[u8]) -> Option<(u64, u32)> {
    let info = bytes.strip_prefix(b"fLaC")?;
    if info.first()? & 0x7F != 0 {
        return None;
    }
    let packed = u64::from_be_bytes(info.get(14..22)?.try_into().ok()?);
    let rate_hz = (packed >> 44) as u32;
    let channels = (packed >> 41 & 7) + 1;
    let bits = (packed >> 36 & 31) + 1;
    let samples = packed & 0xF_FFFF_FFFF;
    (channels == 1 && bits == 16 && samples > 0).then_some((samples, rate_hz))
}

/// Whether a 16-bit mono FLAC file is whole: its frames follow each other without a gap from the first to
/// the end of the file, hold as many samples as the header promises at its rate, and all their checksums
/// are right. An encoder's sound is then as it was; nothing is decoded. (Zero bytes behind a frame, which change no
/// checksum, are not seen.)
pub fn is_whole(bytes: &[u8]) -> bool {
    check(bytes).is_some()
}

fn check(bytes: &[u8]) -> Option<()> {
    let (samples, rate_hz) = probe_mono16(bytes)?;
    let mut frames = &bytes[4..];
    loop {
        let (head, rest) = frames.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        frames = rest.get(length..)?;
        if head[0] & 0x80 != 0 {
            break;
        }
    }
    let mut position = 0;
    let mut header = Header::read(frames)?;
    loop {
        if header.position(position)? != position || header.rate_hz.is_some_and(|hz| hz != rate_hz)
        {
            return None;
        }
        position += header.block;
        let (end, next) = end_of_frame(frames, position)?;
        frames = &frames[end..];
        match next {
            Some(next) => header = next,
            None => return (position == samples).then_some(()),
        }
    }
}

/// The length of the first frame, and the header of the frame behind it, which starts at a sample.
fn end_of_frame(frames: &[u8], position: u64) -> Option<(usize, Option<Header>)> {
    let (mut crc, mut done) = (0, 0);
    // The smallest frame is longer than its sync code.
    let mut at = 2;
    loop {
        let sync = frames[at..].iter().position(|&b| b == 0xFF).map(|i| at + i);
        let until = sync.unwrap_or(frames.len());
        crc = crc16_from(crc, &frames[done..until]);
        done = until;
        if crc == 0 {
            match sync {
                None => return Some((frames.len(), None)),
                Some(sync) => {
                    let next = Header::read(&frames[sync..]);
                    if let Some(next) = next.filter(|n| n.position(position) == Some(position)) {
                        return Some((sync, Some(next)));
                    }
                }
            }
        }
        at = sync? + 1;
    }
}

/// What a frame's header says (RFC 9639, 9.1).
struct Header {
    /// Samples of the frame.
    block: u64,
    /// `None`: as the file's header says.
    rate_hz: Option<u32>,
    /// The frame's number where all blocks but the last have one size, else its first sample's.
    number: u64,
    fixed: bool,
}

impl Header {
    /// Reads a header of 16-bit mono and proves its checksum.
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[0xFF, sync, sizes, format, ..] = bytes else { return None };
        // Mono, of 16 bits or as the file's header says.
        if sync & 0xFE != 0xF8 || !matches!(format, 0b0000_1000 | 0b0000_0000) {
            return None;
        }
        let mut rest = &bytes[4..bytes.len().min(MAX_HEADER)];
        let number = utf8(&mut rest)?;
        let block = match sizes >> 4 {
            1 => 192,
            n @ 2..=5 => 144 << n,
            6 => u64::from(byte(&mut rest)?) + 1,
            7 => u64::from(u16::from_be_bytes([byte(&mut rest)?, byte(&mut rest)?])) + 1,
            n @ 8.. => 1 << n,
            0 => return None,
        };
        let rate_hz = match sizes & 15 {
            0 => None,
            n @ 1..=11 => Some(
                [
                    88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100,
                    48_000, 96_000,
                ][usize::from(n) - 1],
            ),
            12 => Some(u32::from(byte(&mut rest)?) * 1000),
            n @ 13..=14 => {
                let hz = u32::from(u16::from_be_bytes([byte(&mut rest)?, byte(&mut rest)?]));
                Some(if n == 13 { hz } else { hz * 10 })
            }
            _ => return None,
        };
        let length = bytes.len().min(MAX_HEADER) - rest.len();
        (crc8(&bytes[..length]) == byte(&mut rest)?).then_some(Self {
            block,
            rate_hz,
            number,
            fixed: sync & 1 == 0,
        })
    }

    /// The frame's first sample, given where it should start: with fixed blocks only the last may be
    /// shorter, and a number cannot tell where that one starts.
    fn position(&self, expected: u64) -> Option<u64> {
        if !self.fixed {
            return Some(self.number);
        }
        if self.number == 0 {
            return Some(0);
        }
        // All frames before have one size.
        (expected.is_multiple_of(self.number) && self.block <= expected / self.number)
            .then_some(expected)
    }
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// A number in the extended UTF-8 of RFC 9639, 9.1.5.
fn utf8(bytes: &mut &[u8]) -> Option<u64> {
    let first = byte(bytes)?;
    let extra = match first.leading_ones() {
        0 => return Some(u64::from(first)),
        n @ 2..=7 => n - 1,
        _ => return None,
    };
    let mut number = u64::from(first) & (0x3F >> extra);
    for _ in 0..extra {
        let next = byte(bytes)?;
        if next >> 6 != 0b10 {
            return None;
        }
        number = number << 6 | u64::from(next & 0x3F);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::encode;
    use super::*;
    use proptest::prelude::*;

    fn noisy(n: usize) -> Vec<i16> {
        (0..n).map(|i| (i as i64 * 7919 % 4001 - 2000) as i16).collect()
    }

    #[test]
    fn whole_files_pass_and_cut_or_changed_ones_do_not() {
        let flac = encode(&noisy(30_000), 16_000);
        assert!(is_whole(&flac));
        assert!(is_whole(&encode(&noisy(4096 * 130), 16_000)), "frame numbers of two bytes");
        assert!(is_whole(&encode(&noisy(1), 16_000)));
        assert!(!is_whole(&flac[..flac.len() - 1]));
        assert!(!is_whole(&flac[..flac.len() / 3]));
        assert!(!is_whole(&[flac.clone(), vec![1]].concat()), "bytes behind the last frame");
        assert!(!is_whole(b"fLaC"));
        // A frame is missing in the middle.
        let second = 42 + end_of_frame(&flac[42..], 4096).unwrap().0;
        let third = second + end_of_frame(&flac[second..], 8192).unwrap().0;
        assert!(!is_whole(&[&flac[..second], &flac[third..]].concat()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_flipped_bit_in_a_frame_goes_unseen(n in 20usize..9_000, at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let mut flac = encode(&noisy(n), 16_000);
            let at = 42 + at.index(flac.len() - 42);
            flac[at] ^= 1u8 << bit;
            prop_assert!(!is_whole(&flac));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            is_whole(&bytes);
            let mut flac = encode(&[1, 2, 3], 16_000);
            flac.truncate(42);
            flac.append(&mut bytes);
            is_whole(&flac);
        }
    }
}
