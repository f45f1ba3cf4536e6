//! Tags in front of the sound (ID3v2), which every format may carry, and the file behind them.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// The bytes that tell of a tag and of its length.
pub(crate) const HEAD: usize = 10;

/// The length of an ID3v2 tag in bytes, its head included, if these are its first bytes (ID3v2.4, 3.1).
pub(crate) fn id3v2_length(head: &[u8; HEAD]) -> Option<u64> {
    let &[b'I', b'D', b'3', version, revision, flags, a, b, c, d] = head else { return None };
    if version == 0xFF || revision == 0xFF {
        return None;
    }
    let size = [a, b, c, d];
    let size = if size.iter().all(|byte| byte & 0x80 == 0) {
        size.iter().fold(0, |sum, &byte| sum << 7 | u64::from(byte))
    } else {
        // Some programs write all eight bits of each byte.
        u64::from(u32::from_be_bytes(size))
    };
    let footer = if flags & 0x10 != 0 { HEAD as u64 } else { 0 };
    Some(HEAD as u64 + size + footer)
}

/// A file without the tags in front of it: positions count from the first byte behind them.
pub(crate) struct Untagged<R> {
    inner: R,
    start: u64,
}

impl<R: Read + Seek> Untagged<R> {
    /// The file from a byte on, at which the reader stands.
    pub(crate) fn from(inner: R, start: u64) -> Self {
        Self { inner, start }
    }

    /// The first byte's place in the whole file.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The whole file.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Leaves out the tags in front; whether there were any. The reader is at its start then.
    pub(crate) fn skip_tags(&mut self) -> io::Result<bool> {
        let first = self.start;
        let end = self.inner.seek(SeekFrom::End(0))?;
        loop {
            self.inner.seek(SeekFrom::Start(self.start))?;
            let mut head = [0; HEAD];
            let length = match self.inner.read_exact(&mut head) {
                Ok(()) => id3v2_length(&head),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
                Err(e) => return Err(e),
            };
            match length {
                Some(length) if self.start + length <= end => self.start += length,
                Some(_) => {
                    // Longer than the file: its length is wrong, and the sound is somewhere behind.
                    self.start += HEAD as u64;
                    break;
                }
                None => break,
            }
        }
        self.inner.seek(SeekFrom::Start(self.start))?;
        Ok(self.start > first)
    }
}

impl<R: Read> Read for Untagged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Seek> Seek for Untagged<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(self.start.saturating_add(at)),
            other => other,
        };
        let at = self.inner.seek(to)?;
        at.checked_sub(self.start).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn seek_relative(&mut self, offset: i64) -> io::Result<()> {
        self.inner.seek_relative(offset)
    }
}

/// A stretch of a file for a demultiplexer that is not ours.
pub(crate) struct Stretch<R> {
    file: Untagged<R>,
    length: u64,
    at: u64,
}

impl<R: Read + Seek> Stretch<R> {
    /// `length` bytes from one on, or all up to the end.
    pub(crate) fn new(mut inner: R, start: u64, length: Option<u64>) -> io::Result<Self> {
        let end = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(start))?;
        let rest = end.saturating_sub(start);
        let length = length.map_or(rest, |length| length.min(rest));
        Ok(Self { file: Untagged { inner, start }, length, at: 0 })
    }
}

impl<R: Read> Read for Stretch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = self.file.read(&mut buffer[..wanted])?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<R: Seek> Seek for Stretch<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.at = self.file.seek(SeekFrom::Start(at))?;
        Ok(self.at)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Stretch<R> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}
