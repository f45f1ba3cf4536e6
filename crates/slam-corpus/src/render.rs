//! Turns the items of a source into rows of a corpus: decodes, resamples, cuts and encodes them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use slam_audio::{AudioError, Decoder, Pieces, RATE_HZ, ResampleError, Warnings, flac};
use slam_dataset::schema::{Utterance, Word};

use crate::source::{Item, Sound, Speaker, SpeechError};

/// A file up to this size is read whole. It is decoded from memory, or passes through unchanged.
const SMALL_FILE: u64 = 4 << 20;

/// A shorter sound than this has no unit: 25 ms are the window of MFCC and what a frame of HuBERT sees.
const MIN_SAMPLES: usize = RATE_HZ as usize / 40;

/// One utterance that could not be had; it goes to quarantine.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The file cannot be read.
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
    /// It is not usable audio.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Its sample rate is not that of a recording.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// The text cannot be spoken.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// The recording does not have the requested part.
    #[error("the recording has {seconds:.3} s; it has no part from {start} s to {}", .end.map_or("its end".to_owned(), |e| format!("{e} s")))]
    Span {
        /// The recording's length.
        seconds: f64,
        /// The start of the part.
        start: f64,
        /// The end of the part.
        end: Option<f64>,
    },
    /// A source has a text and no speech engine.
    #[error("the source has texts and no engine")]
    NoEngine,
    /// Too short to have a unit.
    #[error(
        "{0} samples at 16 kHz are shorter than one frame of 25 ms ({MIN_SAMPLES} samples); join it with others, or \
         leave it out"
    )]
    TooShort(usize),
    /// Cut by voice activity, and nothing is left.
    #[error("no speech in {0:.1} s; if there is some, raise max_seconds so that it is not cut")]
    NoSpeech(f64),
    /// Longer than a row can say.
    #[error("{0} samples are more than an utterance may have (74 hours); cut the file")]
    TooLong(usize),
}

/// Sends the rows of an item to `emit`, until `emit` returns `false`.
///
/// A recording of at most `max_samples` is one row; a 16 kHz mono 16-bit FLAC file that is whole passes through
/// byte for byte. A longer recording is cut by voice activity: its rows' ids are the item's with `@` and the
/// piece's first sample. Words go with the piece that they begin in; a text without times is in no piece.
///
/// Gives how often the decoder warned of the file.
pub(crate) fn render(
    item: Item,
    speaker: Option<&Speaker>,
    max_samples: usize,
    emit: &mut dyn FnMut(Utterance) -> bool,
) -> Result<u64, RowError> {
    let Item { id, origin, split, speaker: voice, text, words, sound, activity, span, item } = item;
    let path = match (&sound, &item) {
        (Sound::File(_), _) => file_name(&origin),
        // The last part of an item's id is but `positive` or `chosen`.
        (Sound::Bytes(_) | Sound::Text { .. }, Some(_)) => format!("{}.flac", plain(&id)),
        (Sound::Bytes(_) | Sound::Text { .. }, None) => file_name(&id),
    };
    let row =
        Utterance { id, path, split, speaker: voice, text, words, item, ..Utterance::default() };
    let bytes = match sound {
        Sound::File(path) => match small_file(&path)? {
            Some(bytes) => bytes,
            None if span.is_none() => {
                return pieces(Decoder::open(&path)?, row, &origin, max_samples, &activity, emit);
            }
            None => std::fs::read(&path)?,
        },
        Sound::Bytes(bytes) => bytes,
        Sound::Text { text, voice } => {
            let bytes = speaker.ok_or(RowError::NoEngine)?.speak(&text, &voice)?;
            // A synthesised text is one utterance. Cutting it would split words that belong together.
            return whole(&bytes, row, &origin, None, emit);
        }
    };
    if span.is_some() {
        return whole(&bytes, row, &origin, span, emit);
    }
    if let Some((samples, RATE_HZ)) = flac::probe_mono16(&bytes)
        && samples <= max_samples as u64
        && flac::is_whole(&bytes)
    {
        let num_samples = row_samples(samples as usize)?;
        emit(Utterance { flac: bytes, num_samples, source_rate_hz: RATE_HZ, ..row });
        return Ok(0);
    }
    pieces(Decoder::from_bytes(bytes)?, row, &origin, max_samples, &activity, emit)
}

/// Returns the content of a file, if the file is small.
fn small_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > SMALL_FILE {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(SMALL_FILE + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= SMALL_FILE).then_some(bytes))
}

/// Cuts a decoded stream into one row or several pieces.
fn pieces(
    decoder: Decoder,
    row: Utterance,
    origin: &str,
    max_samples: usize,
    activity: &slam_audio::Activity,
    emit: &mut dyn FnMut(Utterance) -> bool,
) -> Result<u64, RowError> {
    let source_rate_hz = decoder.rate_hz();
    let mut pieces = Pieces::new(decoder, max_samples, activity)?;
    let mut next = pieces.next().transpose()?;
    if next.is_none() {
        return Err(RowError::NoSpeech(pieces.num_samples() as f64 / f64::from(RATE_HZ)));
    }
    let mut cut = false;
    while let Some(piece) = next {
        next = pieces.next().transpose()?;
        cut |= next.is_some() || piece.samples.len() as u64 != pieces.num_samples();
        let length = piece.samples.len();
        let num_samples = row_samples(length)?;
        let mut piece_row = if cut { part(&row, piece.start, length) } else { row.clone() };
        piece_row.flac = flac::encode(&slam_audio::to_pcm16(&piece.samples), RATE_HZ);
        piece_row.num_samples = num_samples;
        piece_row.source_rate_hz = source_rate_hz;
        if !emit(piece_row) {
            break;
        }
    }
    Ok(log_warnings(pieces.warnings(), origin))
}

/// A row's number of samples, if a row may have as many.
fn row_samples(samples: usize) -> Result<u32, RowError> {
    if samples < MIN_SAMPLES {
        return Err(RowError::TooShort(samples));
    }
    u32::try_from(samples).map_err(|_| RowError::TooLong(samples))
}

/// Logs a file's warnings; how many they are.
fn log_warnings(warnings: &Warnings, origin: &str) -> u64 {
    for warning in warnings {
        tracing::warn!(file = origin, "{warning}");
    }
    warnings.total()
}

/// Returns the metadata of a piece of a recording.
fn part(row: &Utterance, start: u64, num_samples: usize) -> Utterance {
    let rate = f64::from(RATE_HZ);
    let from = start as f64 / rate;
    let range = from..from + num_samples as f64 / rate;
    let words: Option<Vec<Word>> = row.words.as_ref().map(|words| {
        let within = words.iter().filter(|w| range.contains(&f64::from(w.start)));
        let shift = |w: &Word| Word {
            word: w.word.clone(),
            start: (f64::from(w.start) - from) as f32,
            end: (f64::from(w.end) - from) as f32,
        };
        within.map(shift).collect()
    });
    let text = words
        .as_ref()
        .map(|words| words.iter().map(|w| w.word.as_str()).collect::<Vec<_>>().join(" "));
    let stem = row.path.strip_suffix(".flac").unwrap_or(&row.path);
    Utterance {
        id: format!("{}@{start:010}", row.id),
        path: format!("{stem}@{start:010}.flac"),
        text,
        words,
        // An item is a whole utterance.
        item: None,
        ..row.clone()
    }
}

/// Encodes a sound that is never cut, or a part of a recording, as one row.
fn whole(
    bytes: &[u8],
    row: Utterance,
    origin: &str,
    span: Option<(f64, Option<f64>)>,
    emit: &mut dyn FnMut(Utterance) -> bool,
) -> Result<u64, RowError> {
    let audio = slam_audio::decode_bytes(bytes)?;
    let warned = log_warnings(&audio.warnings, origin);
    let source_rate_hz = audio.rate_hz;
    let samples = slam_audio::resample(audio.samples, source_rate_hz)?;
    let samples = part_of(&samples, span)?;
    let num_samples = row_samples(samples.len())?;
    let flac = flac::encode(&slam_audio::to_pcm16(samples), RATE_HZ);
    emit(Utterance { flac, num_samples, source_rate_hz, ..row });
    Ok(warned)
}

/// Returns the samples of a part of a recording.
fn part_of(samples: &[f32], span: Option<(f64, Option<f64>)>) -> Result<&[f32], RowError> {
    let Some((start, end)) = span else { return Ok(samples) };
    let at = |seconds: f64| (seconds * f64::from(RATE_HZ)).round().max(0.0) as usize;
    // Manifests round times. An end just after the last sample means the last sample.
    let last = end.map_or(samples.len(), |end| at(end).min(samples.len()));
    let seconds = samples.len() as f64 / f64::from(RATE_HZ);
    match samples.get(at(start)..last) {
        Some(part) if !part.is_empty() => Ok(part),
        _ => Err(RowError::Span { seconds, start, end }),
    }
}

/// Returns the name that players show, made from the name of the row's file or from its id.
fn file_name(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    format!("{}.flac", plain(stem))
}

/// Returns a text as one name of a file.
fn plain(text: &str) -> String {
    text.replace(['/', '|', ' '], "_")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_recipe::item::{PairSegment, Segment};

    fn try_rows(
        bytes: Vec<u8>,
        max_seconds: usize,
        words: Option<Vec<Word>>,
    ) -> (Vec<Utterance>, Result<u64, RowError>) {
        let item = Item::new("b/x.flac", "b/x.flac", "train", Sound::Bytes(bytes));
        try_item(Item { words, ..item }, max_seconds)
    }

    fn try_item(item: Item, max_seconds: usize) -> (Vec<Utterance>, Result<u64, RowError>) {
        let mut out = Vec::new();
        let result = render(item, None, max_seconds * RATE_HZ as usize, &mut |row| {
            out.push(row);
            true
        });
        (out, result)
    }

    fn rows(bytes: Vec<u8>, max_seconds: usize, words: Option<Vec<Word>>) -> Vec<Utterance> {
        let (rows, result) = try_rows(bytes, max_seconds, words);
        result.unwrap();
        rows
    }

    #[test]
    fn a_sound_shorter_than_a_frame_is_refused_whatever_holds_it() {
        for rate_hz in [RATE_HZ, 8_000] {
            let shortest = (rate_hz / 40) as usize;
            for (n, fits) in [(1, false), (100, false), (shortest - 1, false), (shortest, true)] {
                let flac = flac::encode(&recording(&[1])[..n], rate_hz);
                let (rows, result) = try_rows(flac, 30, None);
                assert_eq!(rows.len(), usize::from(fits), "{n} samples at {rate_hz} Hz");
                let message = result.err().map(|e| e.to_string()).unwrap_or_default();
                assert_eq!(message.contains("25 ms"), !fits, "{message}");
            }
        }
    }

    #[test]
    fn a_long_recording_without_speech_is_refused_and_a_short_one_is_a_row() {
        let silence = flac::encode(&recording(&[0; 40]), RATE_HZ);
        let (none, result) = try_rows(silence.clone(), 30, None);
        assert!(none.is_empty() && matches!(result, Err(RowError::NoSpeech(_))), "{result:?}");
        assert_eq!(rows(silence, 60, None).len(), 1);
    }

    #[test]
    fn an_item_goes_with_the_whole_utterance_and_not_with_a_piece_of_it() {
        let segment = PairSegment { pair: "a/1".into(), segment: Segment::Chosen };
        let purpose = slam_recipe::Item::Pair(segment);
        let flac = flac::encode(&recording(&[1, 1, 1, 0, 0, 1, 1, 1]), RATE_HZ);
        let rows = |max_seconds| {
            let sound = Sound::Bytes(flac.clone());
            let (rows, result) =
                try_item(Item::of(purpose.clone(), "x", "train", sound), max_seconds);
            result.unwrap();
            rows
        };
        let whole = rows(30);
        assert_eq!((whole.len(), &whole[0].item), (1, &Some(purpose.clone())));
        assert_eq!((&*whole[0].id, &*whole[0].path), ("a/1/chosen", "a_1_chosen.flac"));
        let pieces = rows(5);
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.item.is_none()));
    }

    #[test]
    fn what_the_decoder_warns_of_is_counted() {
        let flac = flac::encode(&recording(&[1, 1]), RATE_HZ);
        assert_eq!(try_rows(flac.clone(), 30, None).1.unwrap(), 0);
        assert!(try_rows(flac[..flac.len() / 2].to_vec(), 30, None).1.unwrap() > 0);
    }

    /// Makes seconds of noise (1) and of silence (0).
    fn recording(seconds: &[u8]) -> Vec<i16> {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 17) as i16 - 16_384
        };
        let second = |s: &u8| (0..RATE_HZ).map(|_| noise() * i16::from(*s)).collect::<Vec<_>>();
        seconds.iter().flat_map(second).collect()
    }

    #[test]
    fn a_short_flac_passes_byte_for_byte_and_a_damaged_one_does_not() {
        let flac = flac::encode(&recording(&[1, 1]), RATE_HZ);
        let whole = rows(flac.clone(), 30, None);
        assert_eq!((whole.len(), whole[0].id.as_str(), &whole[0].flac), (1, "b/x.flac", &flac));
        assert_eq!(whole[0].num_samples, 2 * RATE_HZ);
        let mut damaged = flac.clone();
        let end = damaged.len() - 20;
        damaged[end] ^= 1;
        assert!(rows(damaged, 30, None).iter().all(|r| r.flac != flac));
    }

    #[test]
    fn a_long_recording_is_cut_and_its_words_go_with_their_pieces() {
        let samples = recording(&[1, 1, 1, 0, 0, 1, 1, 1]);
        let word = |word: &str, start: f32| Word { word: word.into(), start, end: start + 0.5 };
        let words = vec![word("one", 1.0), word("two", 6.0)];
        let pieces = rows(flac::encode(&samples, RATE_HZ), 5, Some(words));
        assert!(pieces.len() > 1, "{}", pieces.len());
        let mut texts = Vec::new();
        for piece in &pieces {
            let start: usize = piece.id.split_once('@').unwrap().1.parse().unwrap();
            let audio = slam_audio::decode_bytes(&piece.flac).unwrap();
            assert_eq!(audio.samples.len(), piece.num_samples as usize);
            let expected = &samples[start..start + audio.samples.len()];
            assert_eq!(slam_audio::to_pcm16(&audio.samples), expected, "{}", piece.id);
            assert_eq!(piece.path, format!("x@{start:010}.flac"));
            texts.extend(piece.text.clone().filter(|t| !t.is_empty()));
            for w in piece.words.as_deref().unwrap() {
                let there = w.start + start as f32 / RATE_HZ as f32;
                assert!((there - if w.word == "one" { 1.0 } else { 6.0 }).abs() < 1e-4);
            }
        }
        assert_eq!(texts, ["one", "two"]);
    }
}
