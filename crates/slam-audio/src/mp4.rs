//! Which samples of an MP4 file's tracks are sound: edit lists (ISO/IEC 14496-12, 8.6.6) and iTunes' note of the
//! encoder's delay.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// No movie has more boxes, and no edit list more entries; files made to keep us busy have.
const MAX_BOXES: u32 = 10_000;
const MAX_EDITS: u32 = 1024;
/// iTunes' note is about so many bytes.
const MAX_NOTE: u64 = 1024;

/// What a file says of its tracks.
#[derive(Debug, Default)]
pub(crate) struct Movie {
    tracks: Vec<Track>,
    /// Parts of the movie header's unit in a second.
    timescale: u32,
    /// The sound within the one track of sound, in samples.
    note: Option<Range<u64>>,
}

#[derive(Debug, Default)]
struct Track {
    id: u32,
    timescale: u32,
    /// The sum of all samples' durations.
    duration: u64,
    edits: Vec<Edit>,
    too_many_edits: bool,
}

#[derive(Debug)]
struct Edit {
    /// In the movie's units; 0: up to the end.
    duration: u64,
    /// In the track's units; negative: nothing is shown.
    media_time: i64,
    /// Whether it is shown at its own speed.
    plain: bool,
}

/// The samples of a track that are its sound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Edits {
    /// The file does not say.
    None,
    /// These, at the track's rate.
    Ranges(Vec<Range<u64>>),
    /// In another order, or at another speed.
    Unclear,
}

impl Movie {
    /// What of a track at `rate_hz` is sound.
    pub(crate) fn edits(&self, track_id: u32, rate_hz: u32) -> Edits {
        let Some(track) = self.tracks.iter().find(|track| track.id == track_id) else {
            return Edits::None;
        };
        let shown: Vec<_> = track.edits.iter().filter(|edit| edit.media_time >= 0).collect();
        if track.too_many_edits || shown.iter().any(|edit| !edit.plain) {
            return Edits::Unclear;
        }
        if shown.is_empty() || track.timescale == 0 {
            return self.note.clone().map_or(Edits::None, |range| Edits::Ranges(vec![range]));
        }
        let all = if track.duration == 0 { u64::MAX } else { track.duration };
        let in_samples = |time: u64| match time {
            u64::MAX => time,
            _ => scaled(time, rate_hz, track.timescale),
        };
        let range = |edit: &&Edit| {
            let start = edit.media_time as u64;
            let end = match edit.duration {
                0 => all,
                // A movie's units are coarse, and some programs round them down: sound ends with its samples.
                duration if self.timescale > 0 => {
                    let coarse = u64::from(self.timescale < track.timescale);
                    let shown = duration.saturating_add(coarse);
                    start.saturating_add(scaled(shown, track.timescale, self.timescale)).min(all)
                }
                _ => all,
            };
            in_samples(start)..in_samples(end)
        };
        Edits::Ranges(shown.iter().map(range).collect())
    }
}

/// A time in other units.
fn scaled(time: u64, to: u32, from: u32) -> u64 {
    let scaled = (u128::from(time) * u128::from(to)).div_ceil(u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Reads a file's boxes, if it is an MP4 file. What is broken in it is left to the demultiplexer to tell.
pub(crate) fn read(reader: &mut (impl Read + Seek)) -> io::Result<Option<Movie>> {
    let end = reader.seek(SeekFrom::End(0))?;
    let mut boxes = Boxes { reader, left: MAX_BOXES };
    let mut movie = Movie::default();
    let read = boxes.read_all(end, &mut movie);
    boxes.reader.seek(SeekFrom::Start(0))?;
    match read {
        Ok(known) => Ok(known.then_some(movie)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(movie)),
        Err(e) => Err(e),
    }
}

struct Boxes<'a, R> {
    reader: &'a mut R,
    left: u32,
}

struct BoxHead {
    kind: [u8; 4],
    body: Range<u64>,
}

impl<R: Read + Seek> Boxes<'_, R> {
    /// Whether it is an MP4 file.
    fn read_all(&mut self, end: u64, movie: &mut Movie) -> io::Result<bool> {
        let first = self.next(0..end)?;
        if first.is_none_or(|first| &first.kind != b"ftyp") {
            return Ok(false);
        }
        self.each(0..end, |boxes, head| {
            if &head.kind == b"moov" && movie.tracks.is_empty() {
                return boxes.movie(head.body, movie);
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn movie(&mut self, body: Range<u64>, movie: &mut Movie) -> io::Result<()> {
        self.each(body, |boxes, head| {
            match &head.kind {
                b"mvhd" => movie.timescale = boxes.timescale(&head.body)?,
                b"trak" => {
                    let mut track = Track::default();
                    boxes.track(head.body, &mut track)?;
                    movie.tracks.push(track);
                }
                b"udta" => boxes.each(head.body, |boxes, head| {
                    if &head.kind == b"meta" {
                        movie.note = boxes.note(head.body)?;
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })
    }

    fn track(&mut self, body: Range<u64>, track: &mut Track) -> io::Result<()> {
        self.each(body, |boxes, head| {
            match &head.kind {
                b"tkhd" => {
                    let version = boxes.bytes::<1>(head.body.start)?[0];
                    let at = head.body.start + if version == 1 { 20 } else { 12 };
                    track.id = u32::from_be_bytes(boxes.bytes(at)?);
                }
                b"mdhd" => track.timescale = boxes.timescale(&head.body)?,
                b"elst" => boxes.edit_list(&head.body, track)?,
                b"stts" => track.duration = boxes.duration(&head.body)?,
                b"edts" | b"mdia" | b"minf" | b"stbl" => boxes.track(head.body, track)?,
                _ => {}
            }
            Ok(())
        })
    }

    /// The units in a second of a `mvhd` or `mdhd`.
    fn timescale(&mut self, body: &Range<u64>) -> io::Result<u32> {
        let version = self.bytes::<1>(body.start)?[0];
        Ok(u32::from_be_bytes(self.bytes(body.start + if version == 1 { 20 } else { 12 })?))
    }

    fn edit_list(&mut self, body: &Range<u64>, track: &mut Track) -> io::Result<()> {
        let [version, _, _, _, count @ ..] = self.bytes::<8>(body.start)?;
        let count = u32::from_be_bytes(count);
        track.too_many_edits = count > MAX_EDITS;
        for _ in 0..count.min(MAX_EDITS) {
            let (duration, media_time) = if version == 1 {
                (u64::from_be_bytes(self.here()?), i64::from_be_bytes(self.here()?))
            } else {
                let duration = u64::from(u32::from_be_bytes(self.here()?));
                (duration, i64::from(i32::from_be_bytes(self.here()?)))
            };
            let plain = self.here::<4>()? == [0, 1, 0, 0];
            track.edits.push(Edit { duration, media_time, plain });
        }
        Ok(())
    }

    fn duration(&mut self, body: &Range<u64>) -> io::Result<u64> {
        let [_, _, _, _, count @ ..] = self.bytes::<8>(body.start)?;
        let entries = u64::from(u32::from_be_bytes(count)).min((body.end - body.start) / 8);
        (0..entries).try_fold(0u64, |sum, _| {
            let count = u64::from(u32::from_be_bytes(self.here()?));
            let each = u64::from(u32::from_be_bytes(self.here()?));
            Ok(sum.saturating_add(count * each))
        })
    }

    /// The sound by iTunes' note `iTunSMPB` in a `meta` box: samples before it, behind it, and of it, in hexadecimal.
    fn note(&mut self, body: Range<u64>) -> io::Result<Option<Range<u64>>> {
        // QuickTime's has no version and flags.
        let plain = &self.bytes::<8>(body.start)?[4..] == b"hdlr";
        let start = body.start + if plain { 0 } else { 4 };
        let mut found = None;
        self.each(start..body.end, |boxes, head| {
            if &head.kind != b"ilst" {
                return Ok(());
            }
            boxes.each(head.body, |boxes, head| {
                if &head.kind == b"----" && head.body.end - head.body.start <= MAX_NOTE {
                    let mut text = vec![0; (head.body.end - head.body.start) as usize];
                    boxes.reader.seek(SeekFrom::Start(head.body.start))?;
                    boxes.reader.read_exact(&mut text)?;
                    found = found.take().or(parse_note(&text));
                }
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// The head of the first box in a range of bytes.
    fn next(&mut self, within: Range<u64>) -> io::Result<Option<BoxHead>> {
        if within.end.saturating_sub(within.start) < 8 || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let [a, b, c, d, kind @ ..] = self.bytes::<8>(within.start)?;
        let (length, head) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (within.end - within.start, 8),
            1 => (u64::from_be_bytes(self.here()?), 16),
            length => (u64::from(length), 8),
        };
        let end = within.start.saturating_add(length).min(within.end);
        let start = within.start + head;
        Ok((length >= head).then_some(BoxHead { kind, body: start.min(end)..end }))
    }

    /// Shows all boxes in a range of bytes.
    fn each(
        &mut self,
        mut within: Range<u64>,
        mut see: impl FnMut(&mut Self, BoxHead) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(head) = self.next(within.clone())? {
            within.start = head.body.end;
            see(self, head)?;
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self, at: u64) -> io::Result<[u8; N]> {
        self.reader.seek(SeekFrom::Start(at))?;
        self.here()
    }

    fn here<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn parse_note(bytes: &[u8]) -> Option<Range<u64>> {
    let text = String::from_utf8_lossy(bytes);
    let (_, text) = text.split_once("iTunSMPB")?;
    let (_, text) = text.split_once("data")?;
    let words = text.split([' ', '\0']).filter(|word| word.len() >= 8);
    let mut numbers = words.map_while(|word| u64::from_str_radix(word, 16).ok());
    let (_, before, _, length) =
        (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    Some(before..before.checked_add(length).filter(|_| length > 0)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_note_of_itunes_tells_where_the_sound_is() {
        let note = b"\0\0\0\x1cmean\0\0\0\0com.apple.iTunes\0\0\0\x14name\0\0\0\0iTunSMPB\0\0\0\x90data\0\0\0\x01\0\0\0\0 \
            00000000 00000840 000001CA 00000000003F31F6 00000000 00000000";
        assert_eq!(parse_note(note), Some(0x840..0x840 + 0x3F_31F6));
        assert_eq!(parse_note(b"iTunSMPB data 00000000 nonsense"), None);
        assert_eq!(parse_note(b"something else"), None);
    }
}
