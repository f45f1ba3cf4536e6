//! Frames one after the other, whatever stands between them.

use std::io::{self, Read};

use super::header::{self, Header};
use super::info::Info;
use crate::kept::Kept;
use crate::tag;
use crate::warning::{Warning, Warnings};

/// Bytes asked of the file at a time.
const BLOCK: usize = 1 << 15;
/// Bytes of tags behind the sound: ID3v1 and its extension, and the head of an APEv2 one.
const ID3V1: u64 = 128;
const ID3V1_MORE: u64 = 227;
const APE_HEAD: usize = 32;

/// A file's frames.
pub(crate) struct Frames<R> {
    source: R,
    /// Bytes of the file that `source` has not given yet.
    left: u64,
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame should begin.
    at: usize,
    /// The last frame's.
    last: Option<Header>,
    /// Whether `at` is where a frame ends, or the file begins.
    in_step: bool,
    /// Frames since the last [`Found::Stream`], and how many it counted.
    taken: u64,
    counted: Option<u64>,
}

/// What is next in a file.
pub(crate) enum Found {
    /// A frame with sound.
    Frame(Header, Box<[u8]>),
    /// A new stream begins, of which these samples are the sound.
    Stream(Kept),
    /// Nothing.
    End,
}

impl<R: Read> Frames<R> {
    /// The frames of a file of `length` bytes, at whose start the source stands.
    pub(crate) fn new(source: R, length: u64) -> Self {
        Self {
            source,
            left: length,
            buffer: Vec::new(),
            at: 0,
            last: None,
            in_step: true,
            taken: 0,
            counted: None,
        }
    }

    /// Takes what is next.
    pub(crate) fn next(&mut self, warnings: &mut Warnings) -> io::Result<Found> {
        loop {
            if self.see(APE_HEAD)?.len() < header::LENGTH {
                return Ok(Found::End);
            }
            if self.in_step
                && let Some(length) = self.tag()
            {
                self.skip(length)?;
                continue;
            }
            if let Some(header) = Header::parse(&self.buffer[self.at..])
                && self.is_frame(&header)?
            {
                if self.see(header.length)?.len() < header.length {
                    warnings.add(Warning::CutFrame);
                    return Ok(Found::End);
                }
                return Ok(self.take(header, warnings));
            }
            self.at += 1;
            self.in_step = false;
        }
    }

    fn take(&mut self, header: Header, warnings: &mut Warnings) -> Found {
        if !self.in_step && self.last.is_some() {
            warnings.add(Warning::Junk);
        }
        let frame: Box<[u8]> = self.buffer[self.at..self.at + header.length].into();
        self.at += header.length;
        self.in_step = true;
        self.last = Some(header);
        if let Some(info) = Info::read(&frame, &header) {
            self.taken = 0;
            self.counted = info.frames;
            return Found::Stream(kept(&info, header.samples()));
        }
        if self.counted == Some(self.taken) {
            warnings.add(Warning::MoreFrames);
        }
        self.taken += 1;
        Found::Frame(header, frame)
    }

    /// Whether a frame begins here: in step, one like the last; else one with another behind it, or the file's end.
    fn is_frame(&mut self, header: &Header) -> io::Result<bool> {
        let like_last = self.last.is_none_or(|last| last.is_like(header));
        if self.in_step && self.last.is_some() && like_last {
            return Ok(true);
        }
        let bytes = self.see(header.length + header::LENGTH)?;
        if bytes.len() < header.length + header::LENGTH {
            return Ok(like_last && bytes.len() >= header.length);
        }
        Ok(Header::parse(&bytes[header.length..]).is_some_and(|next| next.is_like(header)))
    }

    /// The length of a tag that begins here.
    fn tag(&self) -> Option<u64> {
        let bytes = &self.buffer[self.at..];
        let length = if let Some(head) = bytes.first_chunk()
            && let Some(length) = tag::id3v2_length(head)
        {
            // Longer than the file: its length is wrong.
            if length > self.left + bytes.len() as u64 { tag::HEAD as u64 } else { length }
        } else if bytes.starts_with(b"TAG+") {
            ID3V1_MORE
        } else if bytes.starts_with(b"TAG") {
            ID3V1
        } else if bytes.starts_with(b"APETAGEX") && bytes.len() >= APE_HEAD {
            let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
            // Its size is that of the items and the footer; a footer has none behind it.
            let is_header = number(20) & 1 << 29 != 0;
            APE_HEAD as u64 + if is_header { u64::from(number(12)) } else { 0 }
        } else {
            return None;
        };
        Some(length)
    }

    /// Leaves out bytes, up to the file's end.
    fn skip(&mut self, length: u64) -> io::Result<()> {
        let here = (self.buffer.len() - self.at).min(usize::try_from(length).unwrap_or(usize::MAX));
        self.at += here;
        let behind = (length - here as u64).min(self.left);
        self.left -= io::copy(&mut self.source.by_ref().take(behind), &mut io::sink())?;
        Ok(())
    }

    /// The next bytes, at least as many unless the file ends.
    fn see(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < length {
            self.buffer.drain(..self.at);
            self.at = 0;
            let wanted = (length - self.buffer.len()).max(BLOCK) as u64;
            let got = self.source.by_ref().take(wanted).read_to_end(&mut self.buffer)?;
            self.left = self.left.saturating_sub(got as u64);
        }
        Ok(&self.buffer[self.at..])
    }
}

/// The samples of a stream that are sound: all but the encoder's delay and padding. Frames behind those that were
/// counted are sound as well.
fn kept(info: &Info, samples: u64) -> Kept {
    let Some(frames) = info.frames else { return Kept::from(info.delay) };
    let counted = frames * samples;
    let sound = info.delay..counted.saturating_sub(info.padding);
    Kept::ranges(vec![sound, counted..u64::MAX]).unwrap_or_else(|| Kept::from(info.delay))
}
