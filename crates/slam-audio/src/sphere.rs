//! NIST SPHERE headers, as TED-LIUM, Switchboard and TIMIT have them: lines of `name -type value` in a block of
//! 1,024 bytes (or a multiple), and the samples behind it.

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use crate::decode::AudioError;
use crate::pcm::{self, Encoding, Format, MAX_CHANNELS, Opened, Pcm};

/// How every header begins: its first line, and the second one with its length.
const MAGIC: &[u8; 8] = b"NIST_1A\n";
const LENGTH: usize = 8;
/// Headers that are written are of 1,024 bytes.
const LONGEST: usize = 1 << 16;

/// Reads the header of what may be a SPHERE file.
pub(crate) fn open<R: Read + Seek>(mut reader: R) -> Result<Opened<R>, AudioError> {
    let is_sphere = |head: &[u8; MAGIC.len() + LENGTH]| head.starts_with(MAGIC);
    let Some(head) = pcm::head(&mut reader, is_sphere)? else { return Ok(Opened::Other(reader)) };
    let bad = |what: &str| AudioError::Track(format!("the SPHERE header {what}"));
    let length = std::str::from_utf8(&head[MAGIC.len()..]).ok().and_then(|s| s.trim().parse().ok());
    let length: usize = length
        .filter(|l| (head.len()..=LONGEST).contains(l))
        .ok_or_else(|| bad("does not say its length"))?;
    let mut text = vec![0; length - head.len()];
    reader.read_exact(&mut text).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => bad("is cut off"),
        _ => AudioError::Io(e),
    })?;
    let format = parse(&String::from_utf8_lossy(&text)).map_err(AudioError::Track)?;
    Ok(Opened::Pcm(Pcm::new(reader, format)))
}

/// The format that the lines of a header tell.
fn parse(text: &str) -> Result<Format, String> {
    let lines = text.lines().take_while(|l| l.trim() != "end_head");
    let fields: HashMap<&str, &str> = lines
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            Some((words.next()?, words.nth(1)?.trim()))
        })
        .collect();
    let number = |name: &str| -> Result<Option<u64>, String> {
        let parse = |v: &&str| v.parse().map_err(|_| format!("its {name} is no number: {v}"));
        fields.get(name).map(parse).transpose()
    };
    let needed = |name: &str| number(name)?.ok_or_else(|| format!("its header has no {name}"));
    let rate_hz = needed("sample_rate")?;
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
            let order = order.unwrap_or("unknown");
            return Err(format!(
                "SPHERE samples of coding {coding}, {} bytes and byte format {order} are not read; \
                 sph2pipe turns them into WAV",
                width.map_or("unknown".to_owned(), |w| w.to_string())
            ));
        }
    };
    let channels = u16::try_from(channels).ok().filter(|n| (1..=MAX_CHANNELS).contains(n));
    let channels = channels.ok_or("its number of channels is no recording's")?;
    let rate_hz = u32::try_from(rate_hz).map_err(|_| format!("a rate of {rate_hz} Hz"))?;
    // Sample frames, which a program that writes into a pipe leaves at 0.
    let frames = number("sample_count")?.filter(|n| *n > 0);
    let frame = u64::from(channels) * encoding.bytes() as u64;
    Ok(Format { rate_hz, channels, encoding, bytes: frames.and_then(|n| n.checked_mul(frame)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{AudioError, decode_bytes};

    /// A file as TED-LIUM's are, with some of its lines in place of others.
    fn file(lines: &[&str], samples: &[u8]) -> Vec<u8> {
        let mut text = String::from("NIST_1A\n   1024\n");
        text.extend(lines.iter().flat_map(|l| [l, "\n"]));
        text.push_str("end_head\n");
        let mut bytes = text.into_bytes();
        bytes.resize(1024, b' ');
        bytes.extend(samples);
        bytes
    }

    const USUAL: [&str; 6] = [
        "sample_count -i 3",
        "sample_n_bytes -i 2",
        "channel_count -i 1",
        "sample_byte_format -s2 01",
        "sample_rate -i 16000",
        "sample_coding -s3 pcm",
    ];

    /// The usual lines, those of a name replaced.
    fn with(line: &str) -> Vec<&str> {
        let name = line.split(' ').next().unwrap();
        USUAL.iter().map(|l| if l.starts_with(name) { line } else { l }).collect()
    }

    #[test]
    fn both_byte_orders_and_companded_samples_are_read() {
        let values = [1_i16, -2, 16_384];
        let expected = values.map(|v| f32::from(v) / 32_768.0);
        let little = decode_bytes(&file(&USUAL, &values.map(i16::to_le_bytes).concat())).unwrap();
        assert_eq!((&little.samples[..], little.rate_hz), (&expected[..], 16_000));
        assert!(little.warnings.is_empty());
        let big = file(&with("sample_byte_format -s2 10"), &values.map(i16::to_be_bytes).concat());
        assert_eq!(decode_bytes(&big).unwrap().samples, expected);
        let lines = ["sample_rate -i 8000", "sample_coding -s4 ulaw", "sample_n_bytes -i 1"];
        let law = decode_bytes(&file(&lines, &[0xFF, 0x00, 0x80])).unwrap();
        assert_eq!(law.samples, [0.0, -32_124.0 / 32_768.0, 32_124.0 / 32_768.0]);
        let stereo = file(&with("channel_count -i 2"), &[0, 64, 0, 0, 0, 0, 0, 64, 0, 64, 0, 64]);
        assert_eq!(decode_bytes(&stereo).unwrap().samples, [0.25, 0.25, 0.5]);
    }

    #[test]
    fn what_a_header_lies_about_is_a_warning_or_an_error() {
        // More samples than there are, and fewer: what is behind them is no sound.
        let long = decode_bytes(&file(&with("sample_count -i 9000000000000"), &[0, 64])).unwrap();
        assert_eq!((long.samples.len(), long.warnings.len()), (1, 1));
        let short = decode_bytes(&file(&with("sample_count -i 1"), &[0, 64, 0, 64])).unwrap();
        assert_eq!(short.samples, [0.5]);
        let refused = |line: &str, says: &str| match decode_bytes(&file(&with(line), &[0; 6])) {
            Err(AudioError::Track(message)) => assert!(message.contains(says), "{message}"),
            other => panic!("{line}: {other:?}"),
        };
        refused("sample_coding -s25 pcm,embedded-shorten-v2.00", "sph2pipe");
        refused("sample_n_bytes -i 3", "3 bytes");
        refused("channel_count -i 0", "channels");
        refused("channel_count -i 70000", "channels");
        refused("sample_rate -i many", "sample_rate");
        assert!(decode_bytes(&file(&["sample_count -i 3"], &[0; 6])).is_err());
        let whole = file(&USUAL, &[1, 2, 3, 4, 5, 6]);
        for end in 0..1024 {
            assert!(decode_bytes(&whole[..end]).is_err(), "{end}");
        }
        let endless = [b"NIST_1A\n99999999".to_vec(), vec![b' '; 100]].concat();
        assert!(decode_bytes(&endless).is_err());
    }
}
