//! Checkpoints of a run: weights, optimiser and counters, published together by one rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::Decoder;
use slam_lm::checkpoint::Format;
use slam_nn::params::{Parameter, Parameters};
use slam_nn::weights::{Weights, write_safetensors};
use slam_recipe::Key;

use crate::budget::Spent;
use crate::context::RunContext;
use crate::ending::Ending;
use crate::error::TrainError;
use crate::job::Job;
use crate::optimiser::{AdamW, Moments};
use crate::report::Update;
use crate::spike::Spikes;

const OPTIMISER: &str = "optimiser.safetensors";
const COUNTERS: &str = "state.json";
/// What the names of moments begin with.
const FIRST: &str = "first";
const SECOND: &str = "second";
/// The time used, noted more often than checkpoints are made, so that a killed run still ends on budget.
const CLOCK: &str = "clock.json";
/// The tokeniser of the units that a model was trained on, in the model's folder.
const TOKENISER: &str = "tokeniser.json";

/// What goes on in a run, beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What the run is made of: configuration and data. Another key, another run.
    pub(crate) key: Key,
    /// The stage's parameters.
    pub(crate) params: Json,
    /// What made the units.
    pub(crate) tokeniser: TokeniserInfo,
    /// How far it is.
    pub(crate) spent: Spent,
    /// What the last validation and save took.
    pub(crate) reserve: Ending,
    /// The last training loss.
    pub(crate) loss: Option<f64>,
    /// The last validation loss.
    pub(crate) validation_loss: Option<f64>,
    /// The lowest validation loss so far.
    pub(crate) best_validation: Option<f64>,
    /// Its step.
    pub(crate) best_step: Option<u64>,
    /// What the next loss is compared with.
    pub(crate) spikes: Spikes,
}

impl State {
    /// A run that has not begun.
    pub(crate) fn new(job: &Job<'_>, tokeniser: &TokeniserInfo) -> Self {
        Self {
            key: job.key.clone(),
            params: job.params.clone(),
            tokeniser: tokeniser.clone(),
            spent: Spent::default(),
            reserve: Ending::default(),
            loss: None,
            validation_loss: None,
            best_validation: None,
            best_step: None,
            spikes: Spikes::default(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Clock {
    key: Key,
    seconds: f64,
}

/// Notes the time that a run has used.
pub(crate) fn write_clock(run: &Path, key: &Key, seconds: f64) -> Result<(), TrainError> {
    let text = serde_json::to_vec(&Clock { key: key.clone(), seconds }).unwrap_or_default();
    Ok(slam_recipe::publish::write(&run.join(CLOCK), &text)?)
}

/// The time that a run has used, as last noted; 0 where it was not.
pub(crate) fn clock(run: &Path, key: &Key) -> f64 {
    let noted = fs::read(run.join(CLOCK)).ok().and_then(|b| serde_json::from_slice(&b).ok());
    noted.filter(|c: &Clock| c.key == *key && c.seconds.is_finite()).map_or(0.0, |c| c.seconds)
}

/// The folder of a step's checkpoint.
fn folder(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints").join(format!("step-{step:08}"))
}

/// Steps that have a checkpoint, the last one last.
fn steps(run: &Path) -> Vec<u64> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = entries
        .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// Saves a checkpoint and removes older ones beyond `keep` and the best.
pub(crate) fn save(
    run: &Path,
    state: &State,
    model: &Decoder,
    optimiser: &AdamW,
    keep: usize,
) -> Result<(), TrainError> {
    let target = folder(run, state.spent.steps);
    let staged = target.with_extension("tmp");
    let _ = fs::remove_dir_all(&staged);
    fs::create_dir_all(&staged).map_err(|e| TrainError::write(&staged, e))?;
    model.save(&staged, Format::Slamkit, None)?;
    write_moments(&staged.join(OPTIMISER), model, optimiser)?;
    let text = serde_json::to_vec_pretty(state).unwrap_or_default();
    slam_recipe::publish::write(&staged.join(COUNTERS), &text)?;
    publish_folder(&staged, &target)?;
    let best = state.best_step.unwrap_or(u64::MAX);
    let all = steps(run);
    for old in all[..all.len().saturating_sub(keep.max(1))].iter().filter(|s| **s != best) {
        let _ = fs::remove_dir_all(folder(run, *old));
    }
    Ok(())
}

/// Puts a staged folder in its place. Its files reach the disk first: a rename that outlives them in a power
/// failure would leave a folder of empty files.
fn publish_folder(staged: &Path, target: &Path) -> Result<(), TrainError> {
    let sync = |path: &Path| {
        fs::File::open(path).and_then(|f| f.sync_all()).map_err(|e| TrainError::write(path, e))
    };
    for entry in fs::read_dir(staged).map_err(|e| TrainError::write(staged, e))?.flatten() {
        sync(&entry.path())?;
    }
    sync(staged)?;
    let _ = fs::remove_dir_all(target);
    fs::rename(staged, target).map_err(|e| TrainError::write(target, e))?;
    target.parent().map_or(Ok(()), sync)
}

fn write_moments(path: &Path, model: &Decoder, optimiser: &AdamW) -> Result<(), TrainError> {
    type Of = fn(&Moments) -> &Tensor<1>;
    let kinds: [(&str, Of); 2] = [(FIRST, |m| &m.first), (SECOND, |m| &m.second)];
    let mut shapes = Vec::new();
    let mut values = BTreeMap::new();
    for (kind, of) in kinds {
        let mut moments = optimiser.moments.iter();
        model.for_each_param(&mut |name, p| {
            let name = format!("{kind}.{name}");
            values.extend(moments.next().map(|m| (name.clone(), of(m))));
            shapes.push((name, p.shape()));
        });
    }
    write_safetensors(path, &shapes, &mut |name| {
        values.get(name).map(|v| v.to_f32()).unwrap_or_default()
    })?;
    Ok(())
}

/// Reads the last checkpoint of a run with this key that can be read; `None` where there is none.
pub(crate) fn load(
    context: &RunContext<'_>,
    key: &Key,
) -> Result<Option<(State, Decoder, AdamW)>, TrainError> {
    let mut broken = None;
    for step in steps(context.run).into_iter().rev() {
        match read(&folder(context.run, step), key, context.device) {
            Ok(found) => return Ok(found),
            Err(e) => {
                (context.tell)(&Update::Note(format!(
                    "the checkpoint of step {step} cannot be read, the one before it is tried: {e}"
                )));
                broken = broken.or(Some(e));
            }
        }
    }
    broken.map_or(Ok(None), Err)
}

/// Reads a checkpoint; `None` where it is another run's.
fn read(
    folder: &Path,
    key: &Key,
    device: &Device,
) -> Result<Option<(State, Decoder, AdamW)>, TrainError> {
    let path = folder.join(COUNTERS);
    let bytes = fs::read(&path).map_err(|e| TrainError::read(&path, e))?;
    let state: Json = serde_json::from_slice(&bytes).map_err(|e| TrainError::read(&path, e))?;
    // The key first: a checkpoint of an older program may have other fields.
    if state["key"].as_str() != Some(key.as_str()) {
        return Ok(None);
    }
    let state: State = serde_json::from_value(state).map_err(|e| TrainError::read(&path, e))?;
    let model = Decoder::load(folder, device)?;
    let moments = Weights::open(folder.join(OPTIMISER))?;
    let mut shapes = Vec::new();
    model.for_each_param(&mut |name, p| {
        shapes.push((name.to_owned(), p.shape()));
    });
    let of = |kind: &str, (name, shape): &(String, Vec<usize>)| -> Result<_, TrainError> {
        let values = moments.tensor_shaped(&format!("{kind}.{name}"), shape)?;
        let elements = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [elements]), device))
    };
    let moments = shapes
        .iter()
        .map(|p| Ok(Moments { first: of(FIRST, p)?, second: of(SECOND, p)? }))
        .collect::<Result<_, TrainError>>()?;
    Ok(Some((state, model, AdamW { moments })))
}

/// Moves what another run left in the folder out of the way: hours of work are not thrown away because a
/// setting was changed.
pub(crate) fn set_aside(context: &RunContext<'_>) -> Result<(), TrainError> {
    let run = context.run;
    let left: Vec<&str> =
        ["checkpoints", "final", "summary.json", "metrics.jsonl", "plans.jsonl", CLOCK]
            .into_iter()
            .filter(|name| run.join(name).exists())
            .collect();
    // A clock alone is this run's own, killed before its first checkpoint.
    if left.iter().all(|name| matches!(*name, CLOCK | "metrics.jsonl" | "plans.jsonl")) {
        return Ok(());
    }
    let mut number = 1;
    let aside = loop {
        let path = run.join(format!("replaced-{number}"));
        if !path.exists() {
            break path;
        }
        number += 1;
    };
    fs::create_dir_all(&aside).map_err(|e| TrainError::write(&aside, e))?;
    for name in left {
        let path = run.join(name);
        fs::rename(&path, aside.join(name)).map_err(|e| TrainError::write(&path, e))?;
    }
    (context.tell)(&Update::Note(format!(
        "{} held a run of other settings or data, which was moved to {}",
        run.display(),
        aside.display()
    )));
    Ok(())
}

/// Publishes a model as `<run>/<name>`, a folder that slamkit and this project load.
pub(crate) fn publish_model(
    run: &Path,
    name: &str,
    model: &Decoder,
    tokeniser: &TokeniserInfo,
) -> Result<(), TrainError> {
    let target = run.join(name);
    let staged = run.join(format!("{name}.tmp"));
    let _ = fs::remove_dir_all(&staged);
    model.save(&staged, Format::Slamkit, None)?;
    let text = serde_json::to_vec_pretty(tokeniser).unwrap_or_default();
    slam_recipe::publish::write(&staged.join(TOKENISER), &text)?;
    publish_folder(&staged, &target)
}

/// The tokeniser that a model's units come from; `None` where its folder does not say.
///
/// # Errors
/// If the file is there but cannot be read.
pub fn tokeniser_of_model(folder: &Path) -> Result<Option<TokeniserInfo>, TrainError> {
    let path = folder.join(TOKENISER);
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| TrainError::read(&path, e))
        }
        // A checkpoint of a run that goes on has it among its counters.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(counters(folder)?.map(|state| state.tokeniser))
        }
        Err(e) => Err(TrainError::read(&path, e)),
    }
}

/// The counters of a checkpoint; `None` where the folder has none.
fn counters(folder: &Path) -> Result<Option<State>, TrainError> {
    let path = folder.join(COUNTERS);
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| TrainError::read(&path, e))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(TrainError::read(&path, e)),
    }
}
