//! Opus of any number of channels: its identification header (RFC 7845, 5.1), the streams in a packet (RFC 6716,
//! appendix B), and the header's gain.

use opus_decoder::{OpusDecoder, OpusError};

use crate::error::OpusHeaderError;
use crate::fault::Fault;

/// Opus decodes to this rate; so long is its longest packet, 120 ms.
pub(crate) const RATE_HZ: u32 = 48_000;
const LONGEST: usize = 5760;
/// A channel that no stream feeds.
const SILENT: u8 = 255;

/// The order of bytes in a header's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// In Ogg.
    Little,
    /// In MP4.
    Big,
}

/// A decoder of the packets of one track.
pub(crate) struct Opus {
    /// The first `coupled` ones are stereo, the others mono.
    streams: Vec<Stream>,
    coupled: usize,
    /// For each channel the decoded channel that it is, or `SILENT`.
    mapping: Vec<u8>,
    /// What every sample is multiplied by; `None` where that is 1.
    gain: Option<f32>,
    /// Samples that the encoder puts in front.
    pub(crate) pre_skip: u16,
}

struct Stream {
    decoder: OpusDecoder,
    samples: Vec<f32>,
}

impl Opus {
    /// A decoder as an identification header, `OpusHead` and what follows, describes it.
    pub(crate) fn new(header: &[u8], order: Order) -> Result<Self, OpusHeaderError> {
        let Some(&[channels, a, b, _, _, _, _, c, d, family]) = header.get(9..19) else {
            return Err(OpusHeaderError::CutOff);
        };
        let number = |bytes| match order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        };
        let (streams, coupled, mapping) = if family == 0 && channels <= 2 {
            (1, channels.saturating_sub(1), (0..channels).collect())
        } else {
            let table = header.get(19..21 + usize::from(channels));
            let Some([streams, coupled, mapping @ ..]) = table else {
                return Err(OpusHeaderError::CutOff);
            };
            (*streams, *coupled, mapping.to_vec())
        };
        let bad = OpusHeaderError::Mapping { channels, streams };
        let decoded = u16::from(streams) + u16::from(coupled);
        let is_fed = |slot: &u8| *slot == SILENT || u16::from(*slot) < decoded;
        if channels == 0 || streams == 0 || coupled > streams || !mapping.iter().all(is_fed) {
            return Err(bad);
        }
        let stream = |i: u8| {
            let decoder = OpusDecoder::new(RATE_HZ, if i < coupled { 2 } else { 1 });
            decoder.map(|decoder| Stream { decoder, samples: Vec::new() })
        };
        let streams: Result<Vec<Stream>, OpusError> = (0..streams).map(stream).collect();
        // Q7.8 decibels.
        let decibels = f64::from(number([c, d]) as i16) / 256.0;
        Ok(Self {
            streams: streams.map_err(|_| bad)?,
            coupled: usize::from(coupled),
            mapping,
            gain: (decibels != 0.0).then(|| 10f64.powf(decibels / 20.0) as f32),
            pre_skip: number([a, b]),
        })
    }

    /// Channels that come out.
    pub(crate) fn channels(&self) -> usize {
        self.mapping.len()
    }

    /// Decodes a packet into interleaved samples; how many a channel has.
    pub(crate) fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<usize, Fault> {
        let malformed = Fault::Malformed("opus: malformed packet");
        let (mut rest, last) = (packet, self.streams.len() - 1);
        let mut frames = None;
        for (i, stream) in self.streams.iter_mut().enumerate() {
            let channels = if i < self.coupled { 2 } else { 1 };
            let plain;
            let packet = if i == last {
                rest
            } else {
                (plain, rest) = undelimited(rest).ok_or_else(|| malformed.clone())?;
                plain.as_slice()
            };
            stream.samples.resize(LONGEST * channels, 0.0);
            let decoded = stream.decoder.decode_float(packet, &mut stream.samples, false);
            let decoded = decoded.map_err(|_| malformed.clone())?;
            if *frames.get_or_insert(decoded) != decoded {
                return Err(Fault::Malformed("opus: streams of unequal lengths in a packet"));
            }
        }
        let frames = frames.unwrap_or(0);
        out.clear();
        out.resize(frames * self.mapping.len(), 0.0);
        for (channel, &slot) in self.mapping.iter().enumerate().filter(|(_, slot)| **slot != SILENT)
        {
            let slot = usize::from(slot);
            let (stream, source, width) = if slot < 2 * self.coupled {
                (slot / 2, slot % 2, 2)
            } else {
                (slot - self.coupled, 0, 1)
            };
            let samples = self.streams[stream].samples[source..].iter().step_by(width);
            let into = out[channel.min(frames)..].iter_mut().step_by(self.mapping.len());
            for (to, from) in into.zip(samples.take(frames)) {
                *to = *from;
            }
        }
        if let Some(gain) = self.gain {
            for x in out {
                *x *= gain;
            }
        }
        Ok(frames)
    }
}

/// Takes a packet that tells its own length from the front: as one that does not, and what is behind it.
///
/// It differs from a plain one by one length more (RFC 6716, appendix B).
fn undelimited(packet: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let toc = *packet.first()?;
    let (extra_at, used, body) = match toc & 3 {
        0 => {
            let (length, used) = length(packet, 1)?;
            (1, used, length)
        }
        1 => {
            let (length, used) = length(packet, 1)?;
            (1, used, 2 * length)
        }
        2 => {
            let (first, used) = length(packet, 1)?;
            let (second, more) = length(packet, 1 + used)?;
            (1 + used, more, first + second)
        }
        _ => {
            let count = *packet.get(1)?;
            let frames = usize::from(count & 0x3F);
            let (mut at, mut body) = (2, 0);
            if count & 0x40 != 0 {
                loop {
                    let padding = *packet.get(at)?;
                    at += 1;
                    body += usize::from(padding.min(254));
                    if padding != 255 {
                        break;
                    }
                }
            }
            if count & 0x80 == 0 {
                let (length, used) = length(packet, at)?;
                (at, used, body + frames * length)
            } else {
                for _ in 1..frames {
                    let (length, used) = length(packet, at)?;
                    at += used;
                    body += length;
                }
                let (length, used) = length(packet, at)?;
                (at, used, body + length)
            }
        }
    };
    let end = extra_at + used + body;
    let frames = packet.get(extra_at + used..end)?;
    Some(([&packet[..extra_at], frames].concat(), &packet[end..]))
}

/// A frame's length, and how many bytes tell it (RFC 6716, 3.2.1).
fn length(packet: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*packet.get(at)?);
    if first < 252 {
        return Some((first, 1));
    }
    Some((first + 4 * usize::from(*packet.get(at + 1)?), 2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_packet_that_tells_its_length_loses_that_length_alone() {
        let check = |delimited: &[u8], plain: &[u8]| {
            let with_rest = [delimited, &[7, 8, 9]].concat();
            let (packet, rest) = undelimited(&with_rest).unwrap();
            assert_eq!((packet.as_slice(), rest), (plain, &[7, 8, 9][..]));
            for end in 0..delimited.len() {
                assert_eq!(undelimited(&delimited[..end]), None, "{end}");
            }
        };
        check(&[0xF8, 2, 10, 11], &[0xF8, 10, 11]);
        check(&[0xF9, 1, 10, 11], &[0xF9, 10, 11]);
        check(&[0xFA, 1, 2, 10, 20, 21], &[0xFA, 1, 10, 20, 21]);
        // Three frames of one length, and of three lengths with two bytes of padding.
        check(&[0xFB, 3, 1, 10, 20, 30], &[0xFB, 3, 10, 20, 30]);
        check(&[0xFB, 0xC3, 2, 1, 0, 1, 10, 30, 0, 0], &[0xFB, 0xC3, 2, 1, 0, 10, 30, 0, 0]);
        let long = [vec![0xF8, 253, 1], vec![5; 257]].concat();
        assert_eq!(undelimited(&long).unwrap().0.len(), 258);
    }
}
