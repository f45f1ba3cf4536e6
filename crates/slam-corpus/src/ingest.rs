//! The ingest stage: one corpus shard of one unit of work.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rayon::prelude::*;
use slam_audio::{AudioError, RATE_HZ, ResampleError, flac};
use slam_dataset::schema::Utterance;
use slam_dataset::shard::{ShardError, ShardWriter};
use slam_dataset::work::{Progress, Quarantined, WorkError, with_causes};
use slam_dataset::{Context, Outcome, WorkUnit, stage};

use crate::grammar::{self, Line};
use crate::source::{IngestParams, Source, Speaker, SpeechError, utterance_of_file};

/// Files decoded at once before their rows are written: bounds memory, fills the cores.
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
    let mut shard = Shard {
        writer: ShardWriter::create(out, &BTreeMap::new())?,
        outcome: Outcome::default(),
        samples: 0,
    };
    match &params.source {
        Source::Folder { split } => {
            if params.files.len() != unit.inputs.len() {
                let (files, inputs) = (params.files.len(), unit.inputs.len());
                return Err(IngestError::Files { files, inputs });
            }
            let files: Vec<_> = params.files.iter().zip(&unit.inputs).collect();
            for (i, batch) in files.chunks(BATCH).enumerate() {
                let rows: Vec<_> = batch
                    .par_iter()
                    .map(|(name, input)| utterance_of_file(&context.path(input), name, split))
                    .collect();
                for (row, (name, _)) in rows.into_iter().zip(batch) {
                    shard.add(row, name, name)?;
                }
                report(context, ((i + 1) * BATCH).min(files.len()), files.len())?;
            }
        }
        Source::Grammar { part, seed, voice, rate_wpm, engine } => {
            let (first, end) = params.rows.unwrap_or((0, 0));
            let mut speaker = Speaker::new(engine.clone(), voice, *rate_wpm);
            for row in first..end {
                for line in grammar::row(*part, *seed, voice, row) {
                    let spoken = match speak(&mut speaker, &line, voice) {
                        // The program itself does not work: no row would.
                        Err(RowError::Speech(
                            e @ (SpeechError::Start { .. } | SpeechError::Failed { .. }),
                        )) => return Err(IngestError::Speech(e)),
                        row => row,
                    };
                    shard.add(spoken, &line.id, &line.text)?;
                }
                report(context, (row + 1 - first) as usize, (end - first) as usize)?;
            }
        }
    }
    shard.finish()
}

fn report(context: &Context<'_>, done: usize, total: usize) -> Result<(), IngestError> {
    (context.progress)(Progress { done: done as f64, total: total as f64, unit: "rows" });
    if context.cancelled() { Err(IngestError::Interrupted) } else { Ok(()) }
}

fn speak(speaker: &mut Speaker, line: &Line, voice: &str) -> Result<Utterance, RowError> {
    let wav = speaker.speak(&line.text)?;
    let audio = slam_audio::decode_bytes(&wav)?;
    let source_rate_hz = audio.rate_hz;
    let samples = slam_audio::resample(audio.samples, source_rate_hz)?;
    Ok(Utterance {
        id: line.id.clone(),
        flac: flac::encode(&slam_audio::to_pcm16(&samples), RATE_HZ),
        path: format!("{}.flac", line.id.replace(['|', '/', ' '], "_")),
        num_samples: samples.len() as u32,
        source_rate_hz,
        split: line.split.to_owned(),
        speaker: Some(voice.to_owned()),
        text: Some(line.text.clone()),
        words: None,
    })
}

/// A shard being written.
struct Shard {
    writer: ShardWriter<Utterance>,
    outcome: Outcome,
    samples: u64,
}

impl Shard {
    fn add(
        &mut self,
        row: Result<Utterance, RowError>,
        id: &str,
        source: &str,
    ) -> Result<(), ShardError> {
        match row {
            Ok(row) => {
                self.samples += u64::from(row.num_samples);
                self.writer.push(row)
            }
            Err(e) => {
                self.outcome.quarantined.push(Quarantined {
                    id: id.to_owned(),
                    source: source.to_owned(),
                    stage: stage::INGEST.name.to_owned(),
                    error: with_causes(&e),
                });
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
