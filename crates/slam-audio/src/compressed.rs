//! Everything but WAV and SPHERE: symphonia's demultiplexers and decoders, and a decoder of Opus.
//!
//! Lengths in headers never decide how much is allocated: symphonia reads in steps of at most 4 MiB that
//! grow with what the file really holds, and limits its tables. What is left are panics on files that
//! were made to break it; they are caught here and become errors of the file.

use std::cmp::Ordering;
use std::io::{BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_FLAC, FORMAT_ID_ISOMP4, FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3,
};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use crate::error::{AudioError, TrackError};
use crate::fault::{Fault, Part};
use crate::kept::Kept;
use crate::mix::mix;
use crate::mp4::{self, Edits, Movie};
use crate::mpeg::{Found, Frames, Header};
use crate::opus::{self, Opus, Order};
use crate::warning::{Warning, Warnings};

/// No recording has more channels.
const MAX_CHANNELS: usize = 256;
/// How symphonia's messages about files of no known format begin.
const PROBE: &str = "core (probe)";
/// Packets in a row that may be damaged before the rest is given up.
const MAX_DAMAGED: u32 = 1000;

/// A file that is being decoded.
pub(crate) struct Compressed {
    packets: Packets,
    codec: Codec,
    pub(crate) rate_hz: u32,
    /// The track's samples that are sound, and the next one's number.
    kept: Kept,
    position: u64,
    /// How many samples a header that counts them, FLAC's, says.
    promised: Option<u64>,
    damaged: u32,
    interleaved: Vec<f32>,
}

enum Packets {
    Tracks {
        format: Box<dyn FormatReader>,
        track_id: u32,
        /// Whether packets tell where they are, and edits go by that.
        clock: Clock,
    },
    Mpeg {
        frames: Box<Frames<MediaSourceStream<'static>>>,
        stream: Stream,
    },
}

/// What the decoder of an elementary stream has had.
#[derive(Clone, Copy)]
enum Stream {
    Nothing,
    /// Frames like this one.
    Frames(Header),
    /// Another stream.
    Another,
}

#[derive(Clone, Copy)]
enum Clock {
    /// Decoded samples are counted.
    Samples,
    /// Packets tell their time in these parts of a second.
    Packets(u32),
}

enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
}

/// What came of a step.
enum Step {
    /// Perhaps samples, and there may be more.
    More,
    End,
}

/// Runs code that was not written here.
fn guarded<T>(part: Part, run: impl FnOnce() -> T) -> Result<T, Part> {
    // What panicked is not used again: its error ends the file.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| part)
}

impl Compressed {
    pub(crate) fn open<S>(mut source: S, warnings: &mut Warnings) -> Result<Self, AudioError>
    where
        S: MediaSource + 'static,
    {
        let movie = mp4::read(&mut BufReader::new(&mut source))?;
        source.seek(SeekFrom::Start(0))?;
        let length = source.byte_len();
        let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
        // No hint: a wrong file extension must not mislead.
        let format = guarded(Part::Demultiplexer, || {
            symphonia::default::get_probe().probe(
                &Hint::new(),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
        })
        .map_err(TrackError::Crash)?
        .map_err(|e| match e {
            Error::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => e.into(),
            // Its container is known.
            Error::Unsupported(what) if !what.starts_with(PROBE) => {
                TrackError::Codec(Fault::Unsupported(what)).into()
            }
            e => AudioError::Format(e.into()),
        })?;
        match format.format_info().format {
            FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3 => Self::open_mpeg(format, length),
            kind => {
                let movie = movie.filter(|_| kind == FORMAT_ID_ISOMP4);
                Self::open_track(format, movie.as_ref(), warnings)
            }
        }
    }

    fn open_track(
        format: Box<dyn FormatReader>,
        movie: Option<&Movie>,
        warnings: &mut Warnings,
    ) -> Result<Self, AudioError> {
        let track = format.default_track(TrackType::Audio).ok_or(TrackError::Missing)?;
        let order = if movie.is_some() { Order::Big } else { Order::Little };
        let (codec, rate_hz, mut kept) = decoder(track, order)?;
        let mut clock = Clock::Samples;
        if let Some(movie) = movie {
            match movie.edits(track.id, rate_hz) {
                Edits::None => {}
                Edits::Ranges(ranges) => match Kept::ranges(ranges) {
                    Some(ranges) => {
                        kept = ranges;
                        let parts = track.time_base.map(|base| base.denom.get());
                        clock = parts.map_or(clock, Clock::Packets);
                    }
                    None => warnings.add(Warning::EditList),
                },
                Edits::Unclear => warnings.add(Warning::EditList),
            }
        }
        let counts = format.format_info().format == FORMAT_ID_FLAC;
        let promised = track.num_frames.filter(|&n| counts && n > 0);
        let packets = Packets::Tracks { track_id: track.id, format, clock };
        Ok(Self { promised, ..Self::of(packets, codec, rate_hz, kept) })
    }

    /// An elementary stream: its frames are found here, as a Xing header or a guess of its length cuts nothing.
    fn open_mpeg(format: Box<dyn FormatReader>, length: Option<u64>) -> Result<Self, AudioError> {
        let track = format.default_track(TrackType::Audio).ok_or(TrackError::Missing)?;
        let (codec, rate_hz, kept) = decoder(track, Order::Little)?;
        let mut source = format.into_inner();
        source.seek(SeekFrom::Start(0))?;
        let frames = Box::new(Frames::new(source, length.unwrap_or(u64::MAX)));
        Ok(Self::of(Packets::Mpeg { frames, stream: Stream::Nothing }, codec, rate_hz, kept))
    }

    fn of(packets: Packets, codec: Codec, rate_hz: u32, kept: Kept) -> Self {
        Self {
            packets,
            codec,
            rate_hz,
            kept,
            position: 0,
            promised: None,
            damaged: 0,
            interleaved: Vec::new(),
        }
    }

    /// Appends the next packet as mono samples; `false` at the end.
    pub(crate) fn read(&mut self, warnings: &mut Warnings, out: &mut Vec<f32>) -> bool {
        let before = out.len();
        match guarded(Part::Decoder, || self.step(warnings, out)) {
            Ok(Ok(Step::More)) => true,
            Ok(Ok(Step::End)) => false,
            Ok(Err(warning)) => {
                warnings.add(warning);
                false
            }
            Err(part) => {
                out.truncate(before);
                warnings.add(Warning::Crash(part));
                false
            }
        }
    }

    /// Takes one packet; an error is why there can be no more.
    fn step(&mut self, warnings: &mut Warnings, out: &mut Vec<f32>) -> Result<Step, Warning> {
        let packet = match &mut self.packets {
            Packets::Mpeg { frames, stream } => {
                let found = frames.next(warnings);
                match found.map_err(|e| Warning::EndsEarly(Fault::Read(e.kind())))? {
                    Found::End => return Ok(Step::End),
                    Found::Stream(kept) => {
                        self.kept = kept;
                        self.position = 0;
                        if matches!(stream, Stream::Frames(_)) {
                            *stream = Stream::Another;
                        }
                        return Ok(Step::More);
                    }
                    Found::Frame(header, bytes) => {
                        let goes_on = match stream {
                            Stream::Nothing => true,
                            Stream::Frames(last) => last.is_like(&header),
                            Stream::Another => false,
                        };
                        if !goes_on {
                            // As if it were a file of its own.
                            let mut params = AudioCodecParameters::new();
                            params.for_codec(header.codec()).with_sample_rate(header.rate_hz);
                            let decoder = symphonia_decoder(&params);
                            let decoder = decoder.map_err(|_| Warning::AnotherRecording)?;
                            self.codec = Codec::Symphonia(decoder);
                        }
                        *stream = Stream::Frames(header);
                        Packet::new(0, Timestamp::ZERO, Duration::from(header.samples()), bytes)
                    }
                }
            }
            Packets::Tracks { format, track_id, clock } => match format.next_packet() {
                Ok(Some(packet)) => {
                    if packet.track_id != *track_id {
                        return Ok(Step::More);
                    }
                    if let Clock::Packets(parts) = clock {
                        let time = u128::try_from(packet.pts.get()).unwrap_or(0);
                        let position = time * u128::from(self.rate_hz) / u128::from(*parts);
                        self.position = u64::try_from(position).unwrap_or(u64::MAX);
                    }
                    packet
                }
                Ok(None) => {
                    match self.promised.map(|promised| promised.cmp(&self.position)) {
                        Some(Ordering::Less) => warnings.add(Warning::LongerThanHeader),
                        Some(Ordering::Greater) => warnings.add(Warning::CutOff),
                        Some(Ordering::Equal) | None => {}
                    }
                    return Ok(Step::End);
                }
                // The next link of a chain of Ogg streams.
                Err(Error::ResetRequired) => return self.link(),
                Err(e) => return Err(Warning::EndsEarly(e.into())),
            },
        };
        self.samples(&packet, warnings, out)
    }

    /// Goes on with the file's next track, which takes the place of the last.
    fn link(&mut self) -> Result<Step, Warning> {
        let Packets::Tracks { format, track_id, .. } = &mut self.packets else {
            return Ok(Step::End);
        };
        let track = format.default_track(TrackType::Audio).ok_or(Warning::AnotherRecording)?;
        let (codec, rate_hz, kept) =
            decoder(track, Order::Little).map_err(|_| Warning::AnotherRecording)?;
        if rate_hz != self.rate_hz {
            return Err(Warning::RateChanges { rate_hz });
        }
        *track_id = track.id;
        self.codec = codec;
        self.kept = kept;
        self.position = 0;
        Ok(Step::More)
    }

    /// Decodes a packet and appends its sound.
    fn samples(
        &mut self,
        packet: &Packet,
        warnings: &mut Warnings,
        out: &mut Vec<f32>,
    ) -> Result<Step, Warning> {
        match self.decode(packet) {
            Ok(Some((_, rate_hz))) if rate_hz != self.rate_hz => {
                return Err(Warning::RateChanges { rate_hz });
            }
            Ok(Some((channels, _))) => {
                self.damaged = 0;
                mix(&self.interleaved, channels, warnings, out);
            }
            Ok(None) => {}
            Err(fault @ Fault::Malformed(_)) => {
                self.damaged += 1;
                self.position = self.position.saturating_add(packet.dur.get());
                warnings.add(Warning::DamagedPacket(fault));
                if self.damaged >= MAX_DAMAGED {
                    return Ok(Step::End);
                }
            }
            Err(fault) => return Err(Warning::EndsEarly(fault)),
        }
        Ok(Step::More)
    }

    /// Decodes a packet into `interleaved`; its channels and rate, or `None` where it holds no sound.
    fn decode(&mut self, packet: &Packet) -> Result<Option<(usize, u32)>, Fault> {
        let (channels, rate_hz, frames) = match &mut self.codec {
            Codec::Symphonia(decoder) => {
                let buffer = decoder.decode(packet)?;
                let spec = buffer.spec();
                let (channels, rate_hz) = (spec.channels().count(), spec.rate());
                if channels == 0 || buffer.samples_interleaved() == 0 {
                    return Ok(None);
                }
                self.interleaved.resize(buffer.samples_interleaved(), 0.0);
                buffer.copy_to_slice_interleaved(&mut self.interleaved);
                (channels, rate_hz, self.interleaved.len() / channels)
            }
            Codec::Opus(opus) => {
                let frames = opus.decode(&packet.data, &mut self.interleaved)?;
                let channels = opus.channels();
                let end = frames.saturating_sub(packet.trim_end.get() as usize);
                self.interleaved.truncate(end * channels);
                (channels, opus::RATE_HZ, frames)
            }
        };
        self.kept.apply(self.position, channels, &mut self.interleaved);
        self.position = self.position.saturating_add(frames as u64);
        Ok(Some((channels, rate_hz)))
    }
}

/// A track's decoder and rate, and what of it is sound by its codec.
fn decoder(track: &Track, order: Order) -> Result<(Codec, u32, Kept), TrackError> {
    let params = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or(TrackError::NoCodec)?;
    let channels = params.channels.as_ref().map_or(0, Channels::count);
    if channels > MAX_CHANNELS {
        return Err(TrackError::Channels(channels));
    }
    if params.codec == CODEC_ID_OPUS {
        let opus = Opus::new(params.extra_data.as_deref().unwrap_or_default(), order)?;
        let kept = Kept::from(u64::from(opus.pre_skip));
        return Ok((Codec::Opus(Box::new(opus)), opus::RATE_HZ, kept));
    }
    let decoder = symphonia_decoder(params)?;
    let rate_hz = params.sample_rate.filter(|&hz| hz > 0).ok_or(TrackError::NoRate)?;
    Ok((Codec::Symphonia(decoder), rate_hz, Kept::from(0)))
}

fn symphonia_decoder(params: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, TrackError> {
    guarded(Part::Decoder, || {
        symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default())
    })
    .map_err(TrackError::Crash)?
    .map_err(|e| TrackError::Codec(e.into()))
}
