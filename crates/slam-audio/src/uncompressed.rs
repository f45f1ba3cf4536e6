//! WAV and SPHERE files: their samples, and those of further recordings in the same file.

use std::io::{Read, Seek};

use crate::error::AudioError;
use crate::pcm::{Following, Opened, Pcm};
use crate::warning::{Warning, Warnings};
use crate::{sphere, wav};

/// A file of uncompressed samples that is being read.
pub(crate) struct Uncompressed<R> {
    pcm: Pcm<R>,
    container: Container,
}

#[derive(Clone, Copy)]
enum Container {
    Wav,
    Sphere,
}

/// What a file can turn out to be.
pub(crate) enum Known<R> {
    /// One to read here.
    Uncompressed(Uncompressed<R>),
    /// Another; the reader is at its start again.
    Other(R),
}

/// Reads the header of what may hold uncompressed samples.
pub(crate) fn open<R: Read + Seek>(reader: R) -> Result<Known<R>, AudioError> {
    let (pcm, container) = match wav::open(reader)? {
        Opened::Pcm(pcm) => (pcm, Container::Wav),
        Opened::Other(reader) => match sphere::open(reader)? {
            Opened::Pcm(pcm) => (pcm, Container::Sphere),
            Opened::Other(reader) => return Ok(Known::Other(reader)),
        },
    };
    Ok(Known::Uncompressed(Uncompressed { pcm, container }))
}

impl<R: Read + Seek> Uncompressed<R> {
    /// The sampling rate in Hz.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.pcm.rate_hz()
    }

    /// Appends the next block as mono samples; `false` at the end.
    pub(crate) fn read(
        &mut self,
        warnings: &mut Warnings,
        out: &mut Vec<f32>,
    ) -> Result<bool, AudioError> {
        if self.pcm.read(warnings, out)? {
            return Ok(true);
        }
        let (reader, format) = self.pcm.behind();
        // Without a length the sound went up to the end of the file.
        let Some(length) = format.bytes else { return Ok(false) };
        let following = match self.container {
            Container::Wav => wav::following(reader, format, length)?,
            Container::Sphere => sphere::following(reader)?,
        };
        match following {
            Following::Nothing => {}
            Following::Bytes => warnings.add(Warning::BytesBehind),
            Following::Unreadable => warnings.add(Warning::AnotherRecording),
            Following::Recording(next) if next.rate_hz == format.rate_hz => {
                self.pcm.go_on(next);
                return Ok(true);
            }
            Following::Recording(next) => {
                warnings.add(Warning::RateChanges { rate_hz: next.rate_hz });
            }
        }
        Ok(false)
    }
}
