//! Files as strangers' programs write them, byte by byte.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// A file of this crate's `tests/codecs`.
pub(crate) fn codec_file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codecs").join(name)).unwrap()
}

/// A file of the fixtures' `audio`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let fixtures = std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    );
    fs::read(fixtures.join("audio").join(name)).unwrap()
}

/// An ID3v2 tag whose picture is `body`.
pub(crate) fn id3(body: &[u8]) -> Vec<u8> {
    let size = body.len() as u32;
    let size = [size >> 21, size >> 14, size >> 7, size].map(|part| part as u8 & 0x7F);
    [b"ID3\x04\0\0", size.as_slice(), body].concat()
}

/// Silent frames of layer III at 44.1 kHz, mono, by the index of their bit rate (1: 32 kbit/s, 14: 320 kbit/s).
pub(crate) fn mp3(bit_rate: u8, frames: usize) -> Vec<u8> {
    const KBITS: [usize; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    let mut frame = vec![0; 144_000 * KBITS[usize::from(bit_rate) - 1] / 44_100];
    frame[..4].copy_from_slice(&[0xFF, 0xFB, bit_rate << 4, 0xC0]);
    frame.repeat(frames)
}

/// The frame in front of an MP3 that counts its frames, the encoder's delay and padding.
pub(crate) fn xing(frames: u32, delay: u32, padding: u32) -> Vec<u8> {
    let mut frame = mp3(9, 1);
    frame[21..29].copy_from_slice(b"Xing\0\0\0\x01");
    frame[29..33].copy_from_slice(&frames.to_be_bytes());
    frame[33..42].copy_from_slice(b"LAME3.100");
    frame[54..57].copy_from_slice(&(delay << 12 | padding).to_be_bytes()[1..]);
    frame
}

/// A RIFF chunk, with its pad byte.
pub(crate) fn chunk(id: &str, body: &[u8]) -> Vec<u8> {
    let mut out = [id.as_bytes(), &(body.len() as u32).to_le_bytes(), body].concat();
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

/// A WAV file of chunks.
pub(crate) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [b"RIFF", ((body.len() + 4) as u32).to_le_bytes().as_slice(), b"WAVE", &body].concat()
}

/// A format chunk of one channel.
pub(crate) fn format(tag: u16, rate_hz: u32, block: u16, bits: u16, more: &[u8]) -> Vec<u8> {
    let mut body = [tag.to_le_bytes(), 1u16.to_le_bytes()].concat();
    body.extend(rate_hz.to_le_bytes());
    body.extend((rate_hz * u32::from(block)).to_le_bytes());
    body.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
    body.extend(more);
    chunk("fmt ", &body)
}

/// A WAV file of 16-bit samples.
pub(crate) fn wav(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    riff(&[format(1, rate_hz, 2, 16, &[]), chunk("data", &data)])
}

/// A WAV file of floating-point samples.
pub(crate) fn float_wav(samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    riff(&[format(3, 16_000, 4, 32, &[]), chunk("data", &data)])
}

/// A WAV file of IMA ADPCM whose blocks of 65 samples each are level.
pub(crate) fn ima_adpcm(levels: &[i16]) -> Vec<u8> {
    let block = |level: &i16| [level.to_le_bytes().as_slice(), &[0; 34]].concat();
    let data = levels.iter().flat_map(block).collect::<Vec<u8>>();
    let fact = chunk("fact", &(65 * levels.len() as u32).to_le_bytes());
    riff(&[format(0x11, 16_000, 36, 4, &[2, 0, 65, 0]), fact, chunk("data", &data)])
}

/// The packets of an Ogg file of one stream, its two headers first.
pub(crate) fn packets(ogg: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut packet, mut rest) = (Vec::new(), Vec::new(), ogg);
    while !rest.is_empty() {
        let (head, behind) = rest.split_at(27);
        let (lacing, mut body) = behind.split_at(usize::from(head[26]));
        for &length in lacing {
            let (part, behind) = body.split_at(usize::from(length));
            packet.extend_from_slice(part);
            body = behind;
            if length < 255 {
                out.push(std::mem::take(&mut packet));
            }
        }
        rest = body;
    }
    out
}

/// An Ogg page with one packet.
fn page(serial: u32, sequence: u32, granule: u64, flags: u8, packet: &[u8]) -> Vec<u8> {
    let mut lacing = vec![255; packet.len() / 255];
    lacing.push((packet.len() % 255) as u8);
    let mut page = [b"OggS\0".as_slice(), &[flags], &granule.to_le_bytes()].concat();
    page.extend([serial.to_le_bytes(), sequence.to_le_bytes(), [0; 4]].concat());
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend(packet);
    let mut crc = 0u32;
    for &byte in &page {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// An Ogg file of Opus packets of 20 ms each behind the two headers.
pub(crate) fn ogg_opus(packets: &[Vec<u8>]) -> Vec<u8> {
    let last = packets.len() - 1;
    let page = |(i, packet): (usize, &Vec<u8>)| {
        let flags = if i == 0 { 2 } else { 0 } | if i == last { 4 } else { 0 };
        page(7, i as u32, 960 * (i as u64).saturating_sub(1), flags, packet)
    };
    packets.iter().enumerate().flat_map(page).collect()
}

/// `mono.opus` in six channels: four streams, each of the same packets.
pub(crate) fn surround() -> Vec<u8> {
    let mut packets = packets(&codec_file("mono.opus"));
    packets[0][9] = 6;
    packets[0][18] = 1;
    packets[0].extend([4, 2, 0, 4, 1, 2, 3, 5]);
    for packet in &mut packets[2..] {
        assert_eq!(packet[0] & 3, 0, "one frame in a packet");
        let length = packet.len() - 1;
        assert!(length < 252);
        let delimited = [&[packet[0], length as u8], &packet[1..]].concat();
        *packet = [delimited.repeat(3), packet.clone()].concat();
    }
    ogg_opus(&packets)
}

/// An MP4 box.
fn mp4_box(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 8).to_be_bytes(), kind.as_bytes(), &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// How many samples a packet of [`alac`] has.
pub(crate) const ALAC_FRAMES: usize = 64;

/// An M4A file at 16 kHz of ALAC packets without compression, with an edit list of these entries (duration in
/// milliseconds, and media time in samples), if any.
pub(crate) fn alac(samples: &[i16], edits: &[(u32, i32)]) -> Vec<u8> {
    alac_with(samples, edits, &[])
}

/// [`alac`] with iTunes' note of how many samples are before the sound, and how many are sound.
pub(crate) fn alac_noted(samples: &[i16], before: u32, sound: u32) -> Vec<u8> {
    let text = format!(" 00000000 {before:08X} 00000000 {sound:016X} 00000000 00000000");
    let note = mp4_box(
        "----",
        &[
            &mp4_box("mean", &[&[0; 4], b"com.apple.iTunes"]),
            &mp4_box("name", &[&[0; 4], b"iTunSMPB"]),
            &mp4_box("data", &[&words(&[1, 0]), text.as_bytes()]),
        ],
    );
    let hdlr = mp4_box("hdlr", &[&words(&[0, 0]), b"mdirappl", &[0; 9]]);
    let meta = mp4_box("meta", &[&[0; 4], &hdlr, &mp4_box("ilst", &[&note])]);
    alac_with(samples, &[], &mp4_box("udta", &[&meta]))
}

fn alac_with(samples: &[i16], edits: &[(u32, i32)], more: &[u8]) -> Vec<u8> {
    let packets: Vec<Vec<u8>> = samples.chunks(ALAC_FRAMES).map(alac_packet).collect();
    let cookie = [
        words(&[0, ALAC_FRAMES as u32]),
        vec![0, 16, 40, 10, 14, 1, 0, 255],
        words(&[0, 0, 16_000]),
    ]
    .concat();
    let cookie = mp4_box("alac", &[&cookie]);
    let entry =
        [&[0; 6], [0, 1].as_slice(), &[0; 8], &[0, 1, 0, 16], &[0; 4], &words(&[16_000 << 16])];
    let entry = mp4_box("alac", &[&entry.concat(), &cookie]);
    let (whole, rest) = (samples.len() / ALAC_FRAMES, samples.len() % ALAC_FRAMES);
    let mut times = vec![0, 1, whole as u32, ALAC_FRAMES as u32];
    if rest > 0 {
        times[1] = 2;
        times.extend([1, rest as u32]);
    }
    let sizes: Vec<u32> = packets.iter().map(|packet| packet.len() as u32).collect();
    let ftyp = mp4_box("ftyp", &[b"M4A \0\0\0\0M4A "]);
    let mdat = mp4_box("mdat", &[&packets.concat()]);
    let table = mp4_box(
        "stbl",
        &[
            &mp4_box("stsd", &[&words(&[0, 1]), &entry]),
            &mp4_box("stts", &[&words(&times)]),
            &mp4_box("stsc", &[&words(&[0, 1, 1, packets.len() as u32, 1])]),
            &mp4_box("stsz", &[&words(&[0, 0, packets.len() as u32]), &words(&sizes)]),
            &mp4_box("stco", &[&words(&[0, 1, ftyp.len() as u32 + 8])]),
        ],
    );
    let smhd = mp4_box("smhd", &[&[0; 8]]);
    let dref = mp4_box("dref", &[&words(&[0, 1]), &mp4_box("url ", &[&[0, 0, 0, 1]])]);
    let minf = mp4_box("minf", &[&smhd, &mp4_box("dinf", &[&dref]), &table]);
    let length = samples.len() as u32;
    let mdhd = mp4_box("mdhd", &[&words(&[0, 0, 0, 16_000, length, 0x55C4_0000])]);
    let hdlr = mp4_box("hdlr", &[&words(&[0, 0]), b"soun", &[0; 13]]);
    let media = mp4_box("mdia", &[&mdhd, &hdlr, &minf]);
    let list: Vec<u8> = edits
        .iter()
        .flat_map(|&(duration, media_time)| words(&[duration, media_time as u32, 0x1_0000]))
        .collect();
    let elst = mp4_box("elst", &[&words(&[0, edits.len() as u32]), &list]);
    let edits = if edits.is_empty() { Vec::new() } else { mp4_box("edts", &[&elst]) };
    let tkhd = mp4_box("tkhd", &[&words(&[7, 0, 0, 1, 0, length]), &[0; 60]]);
    let mvhd = mp4_box("mvhd", &[&words(&[0, 0, 0, 1000, length / 16]), &[0; 80]]);
    let moov = mp4_box("moov", &[&mvhd, &mp4_box("trak", &[&tkhd, &edits, &media]), more]);
    [ftyp, mdat, moov].concat()
}

fn alac_packet(samples: &[i16]) -> Vec<u8> {
    // One channel, its tag, 12 bits unused, with a length, no shift, not compressed; and the end's tag.
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u32, width: u32| {
        bits.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
    };
    put(0, 3);
    put(0, 4);
    put(0, 12);
    put(0b1001, 4);
    put(samples.len() as u32, 32);
    for &sample in samples {
        put(u32::from(sample as u16), 16);
    }
    put(7, 3);
    bits.chunks(8)
        .map(|bits| {
            bits.iter().enumerate().fold(0, |byte, (i, &bit)| byte | u8::from(bit) << (7 - i))
        })
        .collect()
}
