//! Log-probabilities of the reference model, computed once and kept in a file beside each pair shard, so
//! that training holds one model and a second run with the same reference computes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use slam_dataset::schema::ReferenceLogProbs;
use slam_dataset::shard::{self, ShardReader};
use slam_lm::Decoder;
use slam_recipe::Key;
use slam_recipe::publish::Staged;

use super::pairs::{Caps, Pair, Pairs};
use super::rows::log_probs;
use crate::config::Precision;
use crate::context::RunContext;
use crate::error::TrainError;

/// The name of the side file's metadata entry that holds its key.
const KEY: &str = "slam.reference";
/// The time that this run has spent on the reference, over all sessions, in the run's folder.
const SPENT: &str = "reference.json";

/// Log-probabilities of a pair's two continuations, in nats.
pub(super) type LogProbs = [f64; 2];

/// The reference's answers and how long it took.
pub(super) struct Reference {
    pub(super) log_probs: Vec<LogProbs>,
    /// Seconds over all sessions of the run; 0 where all of it was there.
    pub(super) seconds: f64,
}

/// The content of a checkpoint: its configuration and its weights, in the order of their names.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub(super) fn model_key(folder: &Path) -> Result<Key, TrainError> {
    let read = |e: std::io::Error| TrainError::input(folder, e);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(read)?
        .map(|entry| entry.map(|e| e.path()).map_err(read))
        .collect::<Result<_, _>>()?;
    files.retain(|p| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name == "config.json" || name.ends_with(".safetensors") || name.ends_with(".bin")
    });
    files.sort();
    let keys = files
        .iter()
        .map(|p| Key::of_file(p).map_err(|e| TrainError::input(p, e)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Key::of_work("checkpoint", 1, &json!({}), &keys))
}

/// Where a shard's side file for a model lies.
fn side_file(shard: &Path, model: &Key) -> PathBuf {
    shard.with_extension(format!("reference-{}.parquet", model.short()))
}

/// The reference's log-probabilities of every pair: read from the side files that match the model's and the
/// shards' content, computed and kept otherwise. `load` gives the reference model where it is needed.
#[expect(clippy::too_many_arguments, reason = "each is one thing that the answers depend on")]
pub(super) fn reference(
    pairs: &Pairs,
    shards: &[PathBuf],
    caps: &Caps,
    width: Precision,
    policy: &Path,
    batch: usize,
    load: &mut dyn FnMut() -> Result<Decoder, TrainError>,
    context: &RunContext<'_>,
) -> Result<Reference, TrainError> {
    let model_key = model_key(policy)?;
    let mut spent = Spent::read(context.run, &model_key);
    let mut model: Option<Decoder> = None;
    let mut all = Vec::with_capacity(pairs.all.len());
    let mut first = 0;
    for (path, &count) in shards.iter().zip(&pairs.of_shard) {
        let of_shard = &pairs.all[first..first + count];
        first += count;
        let shard_key = Key::of_file(path).map_err(|e| TrainError::input(path, e))?;
        let mut params = serde_json::to_value(caps).unwrap_or_default();
        if width != Precision::F32 {
            params["precision"] = json!(width);
        }
        let key = Key::of_work("reference", 1, &params, [&model_key, &shard_key]);
        let side = side_file(path, &model_key);
        if let Some(kept) = read_side(&side, &key, of_shard) {
            all.extend(kept);
            continue;
        }
        let began = Instant::now();
        let model = match &mut model {
            Some(model) => model,
            none => none.insert(load()?),
        };
        let mut computed = Vec::with_capacity(count);
        for chunk in of_shard.chunks(batch.max(1)) {
            if context.cancel.load(Ordering::Relaxed) {
                spent.add(context.run, began.elapsed().as_secs_f64())?;
                return Err(TrainError::Interrupted { step: 0 });
            }
            let chunk: Vec<&Pair> = chunk.iter().collect();
            let [chosen, rejected] = log_probs(model, &chunk, context.device)
                .map(|t| t.into_data().iter::<f64>().collect::<Vec<_>>());
            computed.extend(chosen.into_iter().zip(rejected).map(|(c, r)| [c, r]));
        }
        // Without a place to keep it, it is computed again next time.
        if let Err(e) = write_side(&side, &key, of_shard, &computed) {
            tracing::warn!(
                "the reference's log-probabilities of {} are not kept: {e}",
                path.display()
            );
        }
        all.extend(computed);
        spent.add(context.run, began.elapsed().as_secs_f64())?;
    }
    Ok(Reference { log_probs: all, seconds: spent.seconds })
}

/// The rows of a side file that has this key and these pairs; `None` where it is missing, of another
/// content, or broken.
fn read_side(path: &Path, key: &Key, pairs: &[Pair]) -> Option<Vec<LogProbs>> {
    let reader = ShardReader::<ReferenceLogProbs>::open(path).ok()?;
    if reader.metadata().get(KEY).map(String::as_str) != Some(key.as_str()) {
        return None;
    }
    let rows = reader.collect::<Result<Vec<_>, _>>().ok()?;
    let same = rows.len() == pairs.len() && rows.iter().zip(pairs).all(|(r, p)| r.id == p.id);
    same.then(|| rows.iter().map(|r| [r.chosen, r.rejected]).collect())
}

fn write_side(path: &Path, key: &Key, pairs: &[Pair], kept: &[LogProbs]) -> Result<(), TrainError> {
    let rows: Vec<ReferenceLogProbs> = pairs
        .iter()
        .zip(kept)
        .map(|(pair, &[chosen, rejected])| ReferenceLogProbs {
            id: pair.id.clone(),
            chosen,
            rejected,
        })
        .collect();
    let staged = Staged::new(path)?;
    let metadata = BTreeMap::from([(KEY.to_owned(), key.to_string())]);
    shard::write(staged.path(), &rows, &metadata)?;
    Ok(staged.publish()?)
}

/// The run's time for the reference, which counts against its budget.
#[derive(Serialize, Deserialize)]
struct Spent {
    model: Key,
    seconds: f64,
}

impl Spent {
    fn read(run: &Path, model: &Key) -> Self {
        fs::read(run.join(SPENT))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|s| s.model == *model && s.seconds >= 0.0)
            .unwrap_or(Self { model: model.clone(), seconds: 0.0 })
    }

    fn add(&mut self, run: &Path, seconds: f64) -> Result<(), TrainError> {
        self.seconds += seconds;
        let text = serde_json::to_vec(self).unwrap_or_default();
        Ok(slam_recipe::publish::write(&run.join(SPENT), &text)?)
    }
}
