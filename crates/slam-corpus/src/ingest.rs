//! The ingest stage: one corpus shard of one unit of work.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rayon::prelude::*;
use slam_audio::{AudioError, RATE_HZ, ResampleError, flac};
use slam_dataset::schema::Utterance;
use slam_dataset::shard::{ShardError, ShardWriter};
use slam_dataset::work::{Progress, Quarantined, WorkError, with_causes};
use slam_dataset::{Context, Outcome, WorkUnit, stage};

use crate::source::{
    IngestParams, Item, Refused, Sound, SourceError, Speaker, SpeechError, UnitFile, UnitFiles,
};

/// Items decoded at once before their rows are written: bounds memory, fills the cores.
const BATCH: usize = 32;

/// A shard that could not be ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Parameters that this stage does not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The shard could not be written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The files are not what the source reads.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The speech program failed, not a single text.
    #[error(transparent)]
    Speech(SpeechError),
    /// Names and inputs do not match.
    #[error("the unit has {files} file names and {inputs} inputs; plan it again")]
    Files {
        /// How many names.
        files: usize,
        /// How many inputs.
        inputs: usize,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// One utterance that could not be had; it goes to quarantine.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The file cannot be read.
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
    /// It is no usable audio.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Its rate is no recording's.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// The text cannot be spoken.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// A part of a recording that it does not have.
    #[error("the recording has {seconds:.3} s; it has no part from {start} s to {}", .end.map_or("its end".to_owned(), |e| format!("{e} s")))]
    Span {
        /// The recording's length.
        seconds: f64,
        /// Where the part begins.
        start: f64,
        /// Where it ends.
        end: Option<f64>,
    },
    /// A text in a source that has nothing that speaks.
    #[error("the source has texts and no engine")]
    NoEngine,
    /// Longer than a row can say.
    #[error("{0} samples are more than an utterance may have (74 hours); cut the file")]
    TooLong(usize),
}

/// Makes one corpus shard.
///
/// # Errors
/// If the parameters are not understood, the shard cannot be written, or the speech program does not run.
/// A single file or text that fails is quarantined.
pub fn ingest(unit: &WorkUnit, context: &Context<'_>, out: &Path) -> Result<Outcome, IngestError> {
    let params: IngestParams = unit.params()?;
    if params.files.len() != unit.inputs.len() {
        let (files, inputs) = (params.files.len(), unit.inputs.len());
        return Err(IngestError::Files { files, inputs });
    }
    let source = params.source.source();
    let speaker = source.engine().map(|(engine, rate)| Speaker::new(engine.clone(), rate));
    let files = params.files.into_iter().zip(&unit.inputs);
    let files = files.map(|(entry, input)| UnitFile { entry, path: context.path(input) });
    let unit_files = UnitFiles { files: files.collect(), rows: params.rows, part: params.part };
    let items = source.items(unit_files)?;
    let total = items.total as f64;
    let mut shard = Shard {
        writer: ShardWriter::create(out, &BTreeMap::new())?,
        outcome: Outcome::default(),
        samples: 0,
    };
    let (mut stream, mut done) = (items.stream, 0.0);
    loop {
        let batch: Vec<_> = stream.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return shard.finish();
        }
        done += batch.len() as f64;
        let rows: Vec<_> =
            batch.into_par_iter().map(|item| render(item, speaker.as_ref())).collect();
        for row in rows {
            shard.add(row?)?;
        }
        (context.progress)(Progress { done, total, unit: "rows" });
        if context.cancelled() {
            return Err(IngestError::Interrupted);
        }
    }
}

/// An item as a row, or as what goes to quarantine in its place.
fn render(
    item: Result<Item, Refused>,
    speaker: Option<&Speaker>,
) -> Result<Result<Utterance, Refused>, IngestError> {
    let item = match item {
        Ok(item) => item,
        Err(refused) => return Ok(Err(refused)),
    };
    let (id, origin) = (item.id.clone(), item.origin.clone());
    match utterance(item, speaker) {
        Ok(row) => Ok(Ok(row)),
        // The program itself does not work: no row would.
        Err(RowError::Speech(e)) if e.concerns_all() => Err(IngestError::Speech(e)),
        Err(e) => Ok(Err(Refused { id, origin, error: with_causes(&e) })),
    }
}

/// An item as a row. A 16 kHz mono 16-bit FLAC file passes through byte for byte.
fn utterance(item: Item, speaker: Option<&Speaker>) -> Result<Utterance, RowError> {
    let Item { id, origin, split, speaker: voice, text, words, sound, activity: _, span } = item;
    let path = file_name(if matches!(sound, Sound::File(_)) { &origin } else { &id });
    let (bytes, recorded) = match sound {
        Sound::File(path) => (fs::read(path)?, true),
        Sound::Bytes(bytes) => (bytes, true),
        Sound::Text { text, voice } => {
            (speaker.ok_or(RowError::NoEngine)?.speak(&text, &voice)?, false)
        }
    };
    let audio = slam_audio::decode_bytes(&bytes)?;
    for warning in &audio.warnings {
        tracing::warn!(file = origin, "{warning}");
    }
    let source_rate_hz = audio.rate_hz;
    let passes = recorded
        && span.is_none()
        && audio.warnings.is_empty()
        && flac::probe_mono16(&bytes) == Some((audio.samples.len() as u64, RATE_HZ));
    let (flac, num_samples) = if passes {
        (bytes, audio.samples.len())
    } else {
        let samples = slam_audio::resample(audio.samples, source_rate_hz)?;
        let samples = part_of(&samples, span)?;
        (flac::encode(&slam_audio::to_pcm16(samples), RATE_HZ), samples.len())
    };
    Ok(Utterance {
        id,
        flac,
        path,
        num_samples: u32::try_from(num_samples).map_err(|_| RowError::TooLong(num_samples))?,
        source_rate_hz,
        split,
        speaker: voice,
        text,
        words,
    })
}

/// The samples of a part of a recording.
fn part_of(samples: &[f32], span: Option<(f64, Option<f64>)>) -> Result<&[f32], RowError> {
    let Some((start, end)) = span else { return Ok(samples) };
    let at = |seconds: f64| (seconds * f64::from(RATE_HZ)).round().max(0.0) as usize;
    // Manifests round times: an end just behind the last sample is the last sample.
    let last = end.map_or(samples.len(), |end| at(end).min(samples.len()));
    let seconds = samples.len() as f64 / f64::from(RATE_HZ);
    match samples.get(at(start)..last) {
        Some(part) if !part.is_empty() => Ok(part),
        _ => Err(RowError::Span { seconds, start, end }),
    }
}

/// The name that players see: that of the file a row comes from, or of its id.
fn file_name(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    format!("{}.flac", stem.replace(['|', ' '], "_"))
}

/// A shard being written.
struct Shard {
    writer: ShardWriter<Utterance>,
    outcome: Outcome,
    samples: u64,
}

impl Shard {
    fn add(&mut self, row: Result<Utterance, Refused>) -> Result<(), ShardError> {
        match row {
            Ok(row) => {
                self.samples += u64::from(row.num_samples);
                self.writer.push(row)
            }
            Err(Refused { id, origin, error }) => {
                let stage = stage::INGEST.name.to_owned();
                self.outcome.quarantined.push(Quarantined { id, source: origin, stage, error });
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Outcome, IngestError> {
        let mut outcome = self.outcome;
        outcome.rows = self.writer.finish()?;
        let seconds = self.samples as f64 / f64::from(RATE_HZ);
        outcome.totals.insert("audio_seconds".to_owned(), seconds);
        Ok(outcome)
    }
}
