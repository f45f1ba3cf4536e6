//! Where another recording begins behind the first, in files of formats whose readers would not go on.
//!
//! WAV, SPHERE, Ogg and MPEG streams go on where they are read.

use std::io::{self, Read, Seek, SeekFrom};

/// What a FLAC file begins with: its name, and the type and length of its first block, which may be the last (RFC 9639,
/// 8.1 and 8.2).
const FLAC: [&[u8]; 2] = [b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"];
/// Bytes read at a time.
const BLOCK: u64 = 1 << 16;
/// Bytes compared at a time.
const STRETCH: usize = 1 << 12;
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
        if let Some(at) = flac_in(&bytes) {
            return Ok(Some(first + at as u64));
        }
        if got == 0 {
            return Ok(None);
        }
        let done = bytes.len().saturating_sub(FLAC[0].len() - 1);
        bytes.drain(..done);
        first += done as u64;
    }
}

/// Where a FLAC file begins in these bytes.
fn flac_in(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).step_by(STRETCH).find_map(|start| {
        let end = bytes.len().min(start + STRETCH + FLAC[0].len() - 1);
        let stretch = &bytes[start..end];
        // Two of the letters in a row are rare, and all pairs are compared at once.
        let pairs = stretch.iter().zip(&stretch[1..]);
        let pair = |(&a, &b): (&u8, &u8)| u8::from(a == b'f') & u8::from(b == b'L');
        if pairs.fold(0, |found, both| found | pair(both)) == 0 {
            return None;
        }
        let is_flac = |window: &[u8]| FLAC.contains(&window);
        stretch.windows(FLAC[0].len()).position(is_flac).map(|at| start + at)
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_second_flac_file_is_found_wherever_it_begins() {
        for at in [8, 4095, 4096, 65_530, 65_537, 140_000] {
            for marker in FLAC {
                let mut bytes = vec![b'f'; at];
                bytes[..8].copy_from_slice(FLAC[0]);
                bytes.extend_from_slice(marker);
                assert_eq!(begins(&mut Cursor::new(&bytes)).unwrap(), Some(at as u64));
                bytes.pop();
                assert_eq!(begins(&mut Cursor::new(&bytes)).unwrap(), None);
            }
        }
    }
}
