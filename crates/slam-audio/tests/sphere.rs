//! NIST SPHERE headers: what they tell, and what they lie about.
#![allow(clippy::unwrap_used, missing_docs)]

use slam_audio::{AudioError, decode_bytes};

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
        Err(e @ AudioError::Sphere(_)) => assert!(e.to_string().contains(says), "{e}"),
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
