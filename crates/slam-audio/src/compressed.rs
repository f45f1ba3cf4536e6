//! Everything but WAV and SPHERE: symphonia's demultiplexers and decoders, and a decoder of Opus.
//!
//! Lengths in headers never decide how much is allocated: symphonia reads in steps of at most 4 MiB that
//! grow with what the file really holds, and limits its tables. What is left are panics on files that
//! were made to break it; they are caught here and become errors of the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use opus_decoder::OpusDecoder;
use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::decode::{AudioError, Warnings, mix};

/// No recording has more channels.
const MAX_CHANNELS: usize = 256;
/// Opus decodes to this rate; so long is its longest packet, 120 ms.
const OPUS_RATE_HZ: u32 = 48_000;
const OPUS_FRAMES: usize = 5760;
/// Packets in a row that may be damaged before the rest is given up.
const MAX_DAMAGED: u32 = 1000;

/// A file that is being decoded.
pub(crate) struct Compressed {
    format: Box<dyn FormatReader>,
    track_id: u32,
    codec: Codec,
    pub(crate) rate_hz: u32,
    damaged: u32,
    interleaved: Vec<f32>,
}

enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    Opus {
        decoder: Box<OpusDecoder>,
        channels: usize,
        /// Samples of the encoder's delay that are still to be dropped.
        skip: usize,
    },
}

/// Runs a decoder that was not written here.
fn guarded<T>(what: &str, run: impl FnOnce() -> T) -> Result<T, AudioError> {
    // A decoder that panicked is not used again: its error ends the file.
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|_| AudioError::Track(format!("{what} failed on this file")))
}

impl Compressed {
    pub(crate) fn open(source: Box<dyn MediaSource>) -> Result<Self, AudioError> {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        // No hint: a wrong file extension must not mislead.
        let format = guarded("the demultiplexer", || {
            symphonia::default::get_probe().probe(
                &Hint::new(),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
        })?
        .map_err(|e| AudioError::Format(e.to_string()))?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(|| AudioError::Track("the file has none".into()))?;
        let track_id = track.id;
        let delay = track.delay.unwrap_or(0) as usize;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|p| p.audio())
            .ok_or_else(|| AudioError::Track("the file does not say its codec".into()))?;
        if params.channels.as_ref().is_some_and(|c| c.count() > MAX_CHANNELS) {
            return Err(AudioError::Track(format!("more than {MAX_CHANNELS} channels")));
        }
        let (codec, rate_hz) = if params.codec == CODEC_ID_OPUS {
            (opus(params, delay)?, Some(OPUS_RATE_HZ))
        } else {
            let decoder = guarded("the decoder", || {
                symphonia::default::get_codecs()
                    .make_audio_decoder(params, &AudioDecoderOptions::default())
            })?
            .map_err(|e| AudioError::Track(e.to_string()))?;
            (Codec::Symphonia(decoder), params.sample_rate)
        };
        let rate_hz = rate_hz
            .filter(|&hz| hz > 0)
            .ok_or_else(|| AudioError::Track("the file does not say its rate".into()))?;
        Ok(Self { format, track_id, codec, rate_hz, damaged: 0, interleaved: Vec::new() })
    }

    /// Appends the next packet as mono samples; `false` at the end.
    pub(crate) fn read(&mut self, warnings: &mut Warnings, out: &mut Vec<f32>) -> bool {
        let before = out.len();
        match guarded("the decoder", || self.step(warnings, out)) {
            Ok(more) => more,
            Err(e) => {
                out.truncate(before);
                warnings.add(&e.to_string());
                false
            }
        }
    }

    fn step(&mut self, warnings: &mut Warnings, out: &mut Vec<f32>) -> bool {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return false,
            Err(e) => {
                warnings.add(&format!("the file ends early: {e}"));
                return false;
            }
        };
        if packet.track_id != self.track_id {
            return true;
        }
        match self.decode(&packet) {
            Ok(Some((channels, rate_hz))) if rate_hz == self.rate_hz => {
                self.damaged = 0;
                mix(&self.interleaved, channels, warnings, out);
                true
            }
            Ok(Some((_, rate_hz))) => {
                warnings.add(&format!(
                    "the sampling rate changes to {rate_hz} Hz; left out from there"
                ));
                false
            }
            Ok(None) => true,
            Err(Error::DecodeError(e)) => {
                self.damaged += 1;
                warnings.add(&format!("a damaged packet: {e}"));
                self.damaged < MAX_DAMAGED
            }
            Err(e) => {
                warnings.add(&format!("the file ends early: {e}"));
                false
            }
        }
    }

    /// Decodes a packet into `interleaved`; its channels and rate, or `None` where it holds no sound.
    fn decode(&mut self, packet: &Packet) -> Result<Option<(usize, u32)>, Error> {
        match &mut self.codec {
            Codec::Symphonia(decoder) => {
                let buffer = decoder.decode(packet)?;
                let spec = buffer.spec();
                let (channels, rate_hz) = (spec.channels().count(), spec.rate());
                if channels == 0 || buffer.samples_interleaved() == 0 {
                    return Ok(None);
                }
                self.interleaved.resize(buffer.samples_interleaved(), 0.0);
                buffer.copy_to_slice_interleaved(&mut self.interleaved);
                Ok(Some((channels, rate_hz)))
            }
            Codec::Opus { decoder, channels, skip } => {
                self.interleaved.resize(OPUS_FRAMES * *channels, 0.0);
                let frames = decoder
                    .decode_float(&packet.data, &mut self.interleaved, false)
                    .map_err(|_| Error::DecodeError("opus: malformed packet"))?;
                let end = frames.saturating_sub(packet.trim_end.get() as usize);
                let start = (*skip).min(end);
                *skip -= (*skip).min(frames);
                self.interleaved.truncate(end * *channels);
                self.interleaved.drain(..start * *channels);
                Ok(Some((*channels, OPUS_RATE_HZ)))
            }
        }
    }
}

/// A decoder of Opus (RFC 6716) for an Ogg or MP4 track with one or two channels.
fn opus(params: &AudioCodecParameters, delay: usize) -> Result<Codec, AudioError> {
    let channels = params.channels.as_ref().map_or(1, Channels::count);
    if !(1..=2).contains(&channels) {
        return Err(AudioError::Track(format!("Opus with {channels} channels")));
    }
    let decoder = OpusDecoder::new(OPUS_RATE_HZ, channels)
        .map_err(|e| AudioError::Track(format!("opus: {e:?}")))?;
    Ok(Codec::Opus { decoder: Box::new(decoder), channels, skip: delay })
}
