//! The four bytes in front of a frame.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

/// Bytes of a header.
pub(crate) const LENGTH: usize = 4;

/// kbit/s by index 1 to 14: MPEG-1 layers I to III, then MPEG-2 layer I, then its layers II and III.
const BIT_RATES: [[u32; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    version: Version,
    pub(crate) layer: Layer,
    pub(crate) rate_hz: u32,
    pub(crate) channels: usize,
    /// Whether a checksum of two bytes follows.
    pub(crate) has_checksum: bool,
    /// Bytes of the frame, with its header.
    pub(crate) length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
    TwoAndAHalf,
}

/// The layer, which is the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    One,
    Two,
    Three,
}

impl Header {
    /// Reads a header; `None` if these bytes are none, or if it is of a free bit rate, which nothing decodes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xFF, b, c, d, ..] = bytes else { return None };
        let version = match b >> 3 {
            0b11100 => Version::TwoAndAHalf,
            0b11110 => Version::Two,
            0b11111 => Version::One,
            _ => return None,
        };
        let layer = match b >> 1 & 3 {
            1 => Layer::Three,
            2 => Layer::Two,
            3 => Layer::One,
            _ => return None,
        };
        let table = match (version, layer) {
            (Version::One, Layer::One) => 0,
            (Version::One, Layer::Two) => 1,
            (Version::One, Layer::Three) => 2,
            (_, Layer::One) => 3,
            _ => 4,
        };
        let bit_rate = BIT_RATES[table].get(usize::from(c >> 4).checked_sub(1)?)? * 1000;
        let rate_hz = RATES_HZ.get(usize::from(c >> 2 & 3))?
            / match version {
                Version::One => 1,
                Version::Two => 2,
                Version::TwoAndAHalf => 4,
            };
        let channels = if d >> 6 == 3 { 1 } else { 2 };
        // Pairs of rate and channels that layer II does not have.
        let allowed = match (layer, channels) {
            (Layer::Two, 1) => !matches!(bit_rate, 224_000 | 256_000 | 320_000 | 384_000),
            (Layer::Two, _) => !matches!(bit_rate, 32_000 | 48_000 | 56_000 | 80_000),
            _ => true,
        };
        let (slots, slot) = match (version, layer) {
            (_, Layer::One) => (12, 4),
            (Version::One, _) | (_, Layer::Two) => (144, 1),
            _ => (72, 1),
        };
        let padding = u32::from(c >> 1 & 1);
        let length = ((slots * bit_rate / rate_hz + padding) * slot) as usize;
        let has_checksum = b & 1 == 0;
        allowed.then_some(Self { version, layer, rate_hz, channels, has_checksum, length })
    }

    /// Samples of the frame in a channel.
    pub(crate) fn samples(&self) -> u64 {
        match (self.layer, self.version) {
            (Layer::One, _) => 384,
            (Layer::Two, _) | (_, Version::One) => 1152,
            _ => 576,
        }
    }

    /// Bytes of a frame of layer III between its header and its main data, without the checksum.
    pub(crate) fn side_information(&self) -> usize {
        match (self.version, self.channels) {
            (Version::One, 1) => 17,
            (Version::One, _) => 32,
            (_, 1) => 9,
            _ => 17,
        }
    }

    /// Whether a frame may follow one with this header in the same stream.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.version, self.layer, self.rate_hz, self.channels)
            == (other.version, other.layer, other.rate_hz, other.channels)
    }

    /// What decodes the frame.
    pub(crate) fn codec(&self) -> AudioCodecId {
        match self.layer {
            Layer::One => CODEC_ID_MP1,
            Layer::Two => CODEC_ID_MP2,
            Layer::Three => CODEC_ID_MP3,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_tell_the_lengths_of_their_frames() {
        let check = |bytes: [u8; 4], expected: Option<(usize, u64, u32, usize)>| {
            let header = Header::parse(&bytes);
            let found = header.map(|h| (h.length, h.samples(), h.rate_hz, h.channels));
            assert_eq!(found, expected, "{bytes:02x?}");
        };
        check([0xFF, 0xFB, 0x90, 0x40], Some((417, 1152, 44_100, 2)));
        check([0xFF, 0xFB, 0x92, 0xC0], Some((418, 1152, 44_100, 1)));
        check([0xFF, 0xF3, 0x48, 0xC0], Some((144, 576, 16_000, 1)));
        check([0xFF, 0xE3, 0x48, 0xC0], Some((288, 576, 8_000, 1)));
        check([0xFF, 0xFD, 0x84, 0xC0], Some((384, 1152, 48_000, 1)));
        check([0xFF, 0xFF, 0x14, 0xC0], Some((32, 384, 48_000, 1)));
        // A free bit rate; a rate, a layer and a version that there are not; layer II in mono at 384 kbit/s.
        for bytes in [
            [0xFF, 0xFB, 0x00, 0x40],
            [0xFF, 0xFB, 0xF0, 0x40],
            [0xFF, 0xFB, 0x9C, 0x40],
            [0xFF, 0xF9, 0x90, 0x40],
            [0xFF, 0xEB, 0x90, 0x40],
            [0xFF, 0xFD, 0xE4, 0xC0],
            [0xFE, 0xFB, 0x90, 0x40],
        ] {
            check(bytes, None);
        }
    }
}
