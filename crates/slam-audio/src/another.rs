//! Where another recording begins behind the first, in files of formats whose readers would not go on.
//!
//! WAV, SPHERE, Ogg and MPEG streams go on where they are read.

use std::io::{self, Read, Seek, SeekFrom};

/// What a FLAC file begins with: its name, and the type and length of its first block, which may be the last (RFC 9639,
/// 8.1 and 8.2).
const FLAC: [&[u8]; 2] = [b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"];
/// Bytes read at a time.
const BLOCK: u64 = 1 << 16;
/// No MP4 file has more boxes outside of others.
const MAX_BOXES: u32 = 10_000;

/// The first byte of another recording; the reader is at its start again.
pub(crate) fn begins(reader: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    let begins = match head(reader, 0)? {
        Some([b'f', b'L', b'a', b'C', ..]) => second_flac(reader)?,
        Some([b'F', b'O', b'R', b'M', a, b, c, d]) => {
            let length = u64::from(u32::from_be_bytes([a, b, c, d]));
            let at = 8 + length + (length & 1);
            head(reader, at)?.filter(|head| head.starts_with(b"FORM")).map(|_| at)
        }
        Some([.., b'f', b't', b'y', b'p']) => second_mp4(reader)?,
        _ => None,
    };
    reader.seek(SeekFrom::Start(0))?;
    Ok(begins)
}

fn head(reader: &mut (impl Read + Seek), at: u64) -> io::Result<Option<[u8; 8]>> {
    reader.seek(SeekFrom::Start(at))?;
    let mut head = [0; 8];
    match reader.read_exact(&mut head) {
        Ok(()) => Ok(Some(head)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

fn second_flac(reader: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    // Where the bytes in `bytes` begin: behind the first marker, and then with the end of the last block.
    let mut first = 1;
    reader.seek(SeekFrom::Start(first))?;
    let mut bytes = Vec::new();
    loop {
        let got = reader.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
        let mut at = 0;
        while let Some(found) = bytes[at..].iter().position(|&byte| byte == b'f') {
            at += found;
            if FLAC.iter().any(|flac| bytes[at..].starts_with(flac)) {
                return Ok(Some(first + at as u64));
            }
            at += 1;
        }
        if got == 0 {
            return Ok(None);
        }
        let done = bytes.len().saturating_sub(FLAC[0].len() - 1);
        bytes.drain(..done);
        first += done as u64;
    }
}

fn second_mp4(reader: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let Some([a, b, c, d, kind @ ..]) = head(reader, at)? else { return Ok(None) };
        if at > 0 && &kind == b"ftyp" {
            return Ok(Some(at));
        }
        let length = match u32::from_be_bytes([a, b, c, d]) {
            1 => {
                let mut long = [0; 8];
                match reader.read_exact(&mut long) {
                    Ok(()) => u64::from_be_bytes(long),
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Err(e) => return Err(e),
                }
            }
            length => u64::from(length),
        };
        // Up to the end of the file, or nonsense.
        if length < 8 {
            return Ok(None);
        }
        at = at.saturating_add(length);
    }
    Ok(None)
}
