//! The stages fit-kmeans and unitise.

use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;
use slam_audio::{AudioError, Counted};
use slam_dataset::schema::{UnitSequence, Utterance};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::{Progress, WorkError};
use slam_dataset::{Context, Outcome};
use slam_nn::device::DeviceError;
use slam_recipe::params::{FitParams, UnitiseParams};
use slam_recipe::work::{Input, Quarantined};
use slam_recipe::{Stage, WorkUnit, with_causes};

use crate::features::{self, FeatureError, of_all};
use crate::kmeans::fit::Thinned;
use crate::kmeans::{KMeans, KMeansError};
use crate::prefetch;
use crate::tokeniser::{Checkpoint, Tokeniser, TokeniserError};

/// Rows read before they are handled in parallel: fills the cores.
const BATCH: usize = 64;
/// Samples after which a batch has enough rows (35 min): bounds memory. A single row may be longer.
const BATCH_SAMPLES: usize = 1 << 25;

/// Units that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// Parameters that these stages do not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A shard that cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Centroids that cannot be fitted or read.
    #[error(transparent)]
    KMeans(#[from] KMeansError),
    /// A tokeniser whose parts do not fit.
    #[error("tokeniser: {0}")]
    Tokeniser(#[from] TokeniserError),
    /// Features that cannot be made.
    #[error("tokeniser: {0}")]
    Features(#[from] FeatureError),
    /// A device that cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A unit of work without its inputs.
    #[error("the unit has {found} inputs, expected {expected}; plan it again")]
    Inputs {
        /// How many it has.
        found: usize,
        /// What it should have.
        expected: &'static str,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The device of a unit of work.
fn device(context: &Context<'_>) -> Result<Device, DeviceError> {
    slam_nn::device::open(context.device)
}

/// The feature extractor's weights among the inputs: the folder that holds `config.json`.
fn checkpoint(inputs: &[Input], context: &Context<'_>) -> Option<Checkpoint> {
    let config = inputs.iter().find(|i| i.path.ends_with("config.json"))?;
    let folder = context.path(config).parent()?.to_owned();
    Some(Checkpoint { folder, keys: inputs.iter().map(|i| i.key.clone()).collect() })
}

/// Why a corpus row has no samples.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Audio(#[from] AudioError),
    #[error("{found} Hz in a corpus of {expected} Hz", expected = slam_audio::RATE_HZ)]
    Rate { found: u32 },
    /// What the decoder had to repair; a corpus holds what its stage wrote, which is whole.
    #[error("{warning}")]
    Repaired { warning: Counted },
}

/// Samples of a corpus row.
fn samples(row: &Utterance) -> Result<Vec<f32>, RowError> {
    let audio = slam_audio::decode_bytes(&row.flac)?;
    if audio.rate_hz != slam_audio::RATE_HZ {
        return Err(RowError::Rate { found: audio.rate_hz });
    }
    match audio.warnings.first() {
        Some(warning) => Err(RowError::Repaired { warning: warning.clone() }),
        None => Ok(audio.samples),
    }
}

/// Some rows of a shard, decoded.
struct Batch {
    rows: Vec<Utterance>,
    /// Samples of each row, or why there are none.
    audio: Vec<Result<Vec<f32>, RowError>>,
    /// Rows of the shard that have been read, and all.
    read: u64,
    total: u64,
}

/// Reads and decodes rows while those before them are computed; what is not `wanted` is left out.
fn batches(
    path: &Path,
    wanted: impl Fn(&Utterance) -> bool + Sync + Send,
    each: impl FnMut(Batch) -> Result<(), UnitsError>,
) -> Result<(), UnitsError> {
    let mut reader = ShardReader::<Utterance>::open(path)?;
    let total = reader.num_rows();
    let mut read = 0;
    let mut next = || -> Result<Option<Batch>, ShardError> {
        let (mut rows, mut size) = (Vec::new(), 0);
        while rows.len() < BATCH && size < BATCH_SAMPLES {
            let Some(row) = reader.next().transpose()? else { break };
            read += 1;
            if wanted(&row) {
                size += row.num_samples as usize;
                rows.push(row);
            }
        }
        let audio = rows.par_iter().map(samples).collect();
        Ok((!rows.is_empty()).then_some(Batch { rows, audio, read, total }))
    };
    let mut each = each;
    prefetch(0, || next().transpose(), |batch| each(batch?))
}

fn report(context: &Context<'_>, samples: u64, read: u64, total: u64) -> Result<(), UnitsError> {
    let done = samples as f64 / f64::from(slam_audio::RATE_HZ) / 3600.0;
    // How long the rows to come are is not known before they are read.
    let total = done * total as f64 / read.max(1) as f64;
    (context.progress)(Progress { done, total, unit: "audio-hours" });
    if context.cancelled() { Err(UnitsError::Interrupted) } else { Ok(()) }
}

/// Fits centroids on the training rows of corpus shards; writes them as safetensors.
///
/// # Errors
/// If a shard cannot be read, there are too few frames, or the file cannot be written.
pub fn fit_kmeans(
    params: &FitParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, UnitsError> {
    let is_shard = |i: &&Input| i.path.extension().is_some_and(|e| e == "parquet");
    let corpus: Vec<&Input> = unit.inputs.iter().filter(is_shard).collect();
    let weights: Vec<Input> = unit.inputs.iter().filter(|i| !is_shard(i)).cloned().collect();
    let checkpoint = checkpoint(&weights, context);
    let device = device(context)?;
    let folder = checkpoint.as_ref().map(|c| c.folder.as_path());
    let extractor = features::build(&params.features, folder, &device)?;
    let dim = extractor.dim();
    let mut frames = Thinned::new(dim, params.kmeans.max_frames);
    let mut outcome = Outcome::default();
    let mut total_samples = 0;
    for (i, input) in corpus.iter().enumerate() {
        batches(
            &context.path(input),
            |row| row.split == "train",
            |batch| {
                // A row that cannot be decoded is unitise's to report; centroids do not need it.
                let audio: Vec<&[f32]> = batch.audio.iter().flatten().map(Vec::as_slice).collect();
                for part in of_all(&*extractor, &audio, |samples| extractor.frames(samples)) {
                    frames.extend(&part.values);
                }
                total_samples += audio.iter().map(|a| a.len() as u64).sum::<u64>();
                let read = i as u64 * batch.total + batch.read;
                report(context, total_samples, read, corpus.len() as u64 * batch.total)
            },
        )?;
    }
    let frames = frames.finish();
    let model = KMeans::fit(&frames, dim, &params.kmeans, &device)?;
    model.write(out)?;
    outcome.rows = model.k() as u64;
    outcome.totals.insert("frames".to_owned(), (frames.len() / dim) as f64);
    outcome.totals.insert("mean_squared_distance".to_owned(), model.inertia(&frames));
    Ok(outcome)
}

/// Turns a corpus shard into a unit shard, row by row in order.
///
/// # Errors
/// If a shard cannot be read or written, or the tokeniser's parts do not fit. A row that cannot be decoded
/// goes to quarantine.
pub fn unitise(
    params: &UnitiseParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, UnitsError> {
    let [corpus, centroids, weights @ ..] = &unit.inputs[..] else {
        let found = unit.inputs.len();
        return Err(UnitsError::Inputs { found, expected: "a corpus shard and centroids" });
    };
    let kmeans = KMeans::read(&context.path(centroids))?;
    let tokeniser = Tokeniser::new(
        &params.name,
        &params.features,
        checkpoint(weights, context).as_ref(),
        kmeans,
        &device(context)?,
    )?;
    let mut writer = ShardWriter::create(out, &tokeniser.info().to_metadata())?;
    let mut outcome = Outcome::default();
    let (mut total_units, mut total_samples) = (0, 0);
    let corpus = context.path(corpus);
    batches(
        &corpus,
        |_| true,
        |batch| {
            let good: Vec<&[f32]> = batch.audio.iter().flatten().map(Vec::as_slice).collect();
            let mut units = tokeniser.units(&good).into_iter();
            for (row, audio) in batch.rows.into_iter().zip(&batch.audio) {
                match audio.as_ref().map(|_| units.next().unwrap_or_default()) {
                    Ok((units, durations)) => {
                        total_units += units.len();
                        total_samples += u64::from(row.num_samples);
                        let Utterance { id, split, text, words, item, .. } = row;
                        let row = UnitSequence { id, units, durations, split, text, words, item };
                        writer.push(row)?;
                    }
                    Err(error) => outcome.quarantined.push(Quarantined {
                        id: row.id,
                        source: corpus.display().to_string(),
                        stage: Stage::Unitise,
                        error: with_causes(error),
                    }),
                }
            }
            report(context, total_samples, batch.read, batch.total)
        },
    )?;
    outcome.rows = writer.finish()?;
    outcome.totals.insert("units".to_owned(), total_units as f64);
    let seconds = total_samples as f64 / f64::from(slam_audio::RATE_HZ);
    outcome.totals.insert("audio_seconds".to_owned(), seconds);
    Ok(outcome)
}
