//! Chunks of a RIFF file: four bytes of name, four of length, and a pad byte behind an odd length.

use std::io::{self, Read, Seek, SeekFrom};

/// A chunk's head.
pub(crate) struct Chunk {
    pub(crate) id: [u8; 4],
    pub(crate) length: u32,
}

/// Names that are met in WAV files.
const KNOWN: [&[u8; 4]; 16] = [
    b"fmt ", b"data", b"LIST", b"fact", b"ds64", b"bext", b"iXML", b"JUNK", b"junk", b"PEAK",
    b"cue ", b"smpl", b"id3 ", b"ID3 ", b"PAD ", b"RIFF",
];

/// Whether these may be a chunk's name: printable characters.
pub(crate) fn is_id(id: &[u8]) -> bool {
    id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Reads the head of the next chunk, behind the body of one of `length_before` bytes; `None` at the end.
///
/// Behind an odd length there is a pad byte, which some programs do not write.
pub(crate) fn next<R: Read + Seek>(
    reader: &mut R,
    length_before: u32,
) -> io::Result<Option<Chunk>> {
    let padded = (length_before & 1) as usize;
    let mut bytes = [0; 9];
    match reader.read_exact(&mut bytes[..8 + padded]) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    let mut at = padded;
    let name = |at: usize| &bytes[at..at + 4];
    let is_known = |at: usize| KNOWN.iter().any(|id| id.as_slice() == name(at));
    if padded == 1 && !is_known(1) && (is_known(0) || (is_id(name(0)) && !is_id(name(1)))) {
        at = 0;
        reader.seek_relative(-1)?;
    }
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(|i| bytes[at + i]);
    Ok(Some(Chunk { id: [a, b, c, d], length: u32::from_le_bytes([e, f, g, h]) }))
}

/// Whether what is behind the reader is nothing but whole chunks up to the end; the reader stays where it is.
pub(crate) fn only_chunks_follow<R: Read + Seek>(reader: &mut R) -> io::Result<bool> {
    let Ok(first) = reader.stream_position() else { return Ok(false) };
    let end = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(first))?;
    let (mut at, mut length_before) = (first, 0);
    let follow = loop {
        let Some(Chunk { id, length }) = next(reader, length_before)? else { break true };
        length_before = length;
        at = reader.stream_position()? + u64::from(length);
        if !is_id(&id) || at > end {
            break false;
        }
        reader.seek(SeekFrom::Start(at))?;
    };
    // What is left is no chunk's head.
    let follow = follow && end - at.min(end) <= 1;
    reader.seek(SeekFrom::Start(first))?;
    Ok(follow)
}
