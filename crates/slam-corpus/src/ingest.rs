//! The stage `ingest`: it makes one corpus shard from one unit of work.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use slam_audio::RATE_HZ;
use slam_dataset::schema::Utterance;
use slam_dataset::shard::{ShardError, ShardWriter};
use slam_dataset::work::Progress;
use slam_dataset::{Context, Outcome};
use slam_recipe::params::{IngestParams, Refused as Listed};
use slam_recipe::work::Quarantined;
use slam_recipe::{Stage, WorkUnit, with_causes};

use crate::in_order::{self, Results};
use crate::render;
use crate::source::{self, Item, Refused, SourceError, Speaker, SpeechError, UnitFile, UnitFiles};

pub use crate::render::RowError;

/// Progress is reported every this many items.
const STEP: f64 = 32.0;

/// The reasons why a shard could not be ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A source that holds no speech.
    #[error("a source of the kind '{kind}' is not ingested; plan it again")]
    NoSpeech {
        /// The kind of source.
        kind: &'static str,
    },
    /// The shard could not be written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The files do not match what the source reads.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The speech program itself failed, not only one text.
    #[error(transparent)]
    Speech(SpeechError),
    /// The numbers of file names and inputs differ.
    #[error("the unit has {files} file names and {inputs} inputs; plan it again")]
    Files {
        /// The number of names.
        files: usize,
        /// The number of inputs.
        inputs: usize,
    },
    /// The stage was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Makes one corpus shard.
///
/// # Errors
/// If the parameters are not understood, the shard cannot be written, or the speech program does not run.
/// A single file or text that fails is quarantined.
pub fn ingest(
    params: &IngestParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, IngestError> {
    if params.files.len() != unit.inputs.len() {
        let (files, inputs) = (params.files.len(), unit.inputs.len());
        return Err(IngestError::Files { files, inputs });
    }
    let kind = params.source.kind();
    let source = source::reader(&params.source).ok_or(IngestError::NoSpeech { kind })?;
    let speaker = source.engine().map(|(engine, rate)| Speaker::new(engine.clone(), rate));
    let files = params.files.iter().zip(&unit.inputs);
    let files =
        files.map(|(entry, input)| UnitFile { entry: entry.clone(), path: context.path(input) });
    let unit_files = UnitFiles { files: files.collect(), rows: params.rows, part: params.part };
    let items = source.items(unit_files)?;
    let total = items.total as f64;
    let mut shard = Shard {
        writer: ShardWriter::create(out, &BTreeMap::new())?,
        outcome: Outcome::default(),
        samples: 0,
    };
    let max_samples = match params.max_seconds {
        Some(seconds) => (seconds.max(1.0) * f64::from(RATE_HZ)) as usize,
        None => usize::MAX,
    };
    for Listed { id, source, error, .. } in params.refused.iter().cloned() {
        shard.add(Err(Refused { id, origin: source, error }))?;
    }
    let mut done = 0.0;
    let warned = AtomicU64::new(0);
    let work = |item, results: &Results<_>| {
        warned.fetch_add(render(item, speaker.as_ref(), max_samples, results), Ordering::Relaxed);
    };
    in_order::run(rayon::current_num_threads(), items.stream, work, |result| {
        if let Some(row) = result {
            return Ok(shard.add(row?)?);
        }
        done += 1.0;
        if done % STEP == 0.0 || done == total {
            (context.progress)(Progress { done, total, unit: "rows" });
        }
        if context.cancelled() { Err(IngestError::Interrupted) } else { Ok(()) }
    })?;
    shard.finish(warned.into_inner())
}

/// A row, or an input for the quarantine, or an error that ends the shard.
type Rendered = Result<Result<Utterance, Refused>, IngestError>;

/// Gives an item's rows, or what goes to quarantine in their place. A recording that fails in its midst has both.
/// How often the decoder warned of what it could read.
fn render(
    item: Result<Item, Refused>,
    speaker: Option<&Speaker>,
    max_samples: usize,
    results: &Results<Rendered>,
) -> u64 {
    let item = match item {
        Ok(item) => item,
        Err(refused) => {
            results.push(Ok(Err(refused)));
            return 0;
        }
    };
    let (id, origin) = (item.id.clone(), item.origin.clone());
    let mut emit = |row| results.push(Ok(Ok(row)));
    let result = match render::render(item, speaker, max_samples, &mut emit) {
        Ok(warned) => return warned,
        // The program itself does not work: no row would.
        Err(RowError::Speech(e)) if e.concerns_all() => Err(IngestError::Speech(e)),
        Err(e) => Ok(Err(Refused { id, origin, error: with_causes(&e) })),
    };
    results.push(result);
    0
}

/// A shard that is being written.
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
                let stage = Stage::Ingest;
                self.outcome.quarantined.push(Quarantined { id, source: origin, stage, error });
                Ok(())
            }
        }
    }

    fn finish(self, warned: u64) -> Result<Outcome, IngestError> {
        let mut outcome = self.outcome;
        outcome.rows = self.writer.finish()?;
        let seconds = self.samples as f64 / f64::from(RATE_HZ);
        outcome.totals.insert("audio_seconds".to_owned(), seconds);
        outcome.totals.insert("decoder_warnings".to_owned(), warned as f64);
        Ok(outcome)
    }
}
