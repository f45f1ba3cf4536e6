//! Checkpoints of a run: weights, optimiser and counters, published together by one rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use slam_dataset::Key;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::Decoder;
use slam_lm::checkpoint::Format;
use slam_nn::params::Parameters;
use slam_nn::weights::{Weights, write_safetensors};

use crate::budget::Spent;
use crate::error::TrainError;
use crate::optimiser::{AdamW, Value};

const OPTIMISER: &str = "optimiser.safetensors";
const COUNTERS: &str = "state.json";
/// The tokeniser of the units that a model was trained on, in the model's folder.
const TOKENISER: &str = "tokeniser.json";

/// What goes on in a run, beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What the run is made of: configuration and data. Another key, another run.
    pub(crate) key: Key,
    /// How far it is.
    pub(crate) spent: Spent,
    /// The lowest validation loss so far.
    pub(crate) best_validation: Option<f64>,
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

/// Saves a checkpoint and removes older ones beyond `keep`.
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
    slam_dataset::publish::write(&staged.join(COUNTERS), &text)?;
    let _ = fs::remove_dir_all(&target);
    fs::rename(&staged, &target).map_err(|e| TrainError::write(&target, e))?;
    let all = steps(run);
    for old in &all[..all.len().saturating_sub(keep.max(1))] {
        let _ = fs::remove_dir_all(folder(run, *old));
    }
    Ok(())
}

fn write_moments(path: &Path, model: &Decoder, optimiser: &AdamW) -> Result<(), TrainError> {
    let mut names = Vec::new();
    model.for_each_param(&mut |name, _| names.push(name.to_owned()));
    let mut shapes = Vec::new();
    let mut values = BTreeMap::new();
    for (kind, moments) in [("first", &optimiser.first), ("second", &optimiser.second)] {
        for (name, value) in names.iter().zip(moments) {
            let name = format!("{kind}.{name}");
            shapes.push((name.clone(), value.as_ref().shape()));
            values.insert(name, value.clone());
        }
    }
    write_safetensors(path, &shapes, &mut |name| {
        values.get(name).map(|v| v.as_ref().to_f32()).unwrap_or_default()
    })
    .map_err(|e| TrainError::Model(e.into()))
}

/// Reads the last checkpoint of a run with this key; `None` where there is none.
pub(crate) fn load(
    run: &Path,
    key: &Key,
    device: &Device,
) -> Result<Option<(State, Decoder, AdamW)>, TrainError> {
    let Some(step) = steps(run).pop() else { return Ok(None) };
    let folder = folder(run, step);
    let path = folder.join(COUNTERS);
    let bytes = fs::read(&path).map_err(|e| TrainError::read(&path, e))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|e| TrainError::read(&path, e))?;
    if state.key != *key {
        return Ok(None);
    }
    let model = Decoder::load(&folder, device)?;
    let moments = Weights::open(folder.join(OPTIMISER)).map_err(|e| TrainError::Model(e.into()))?;
    let mut read = Vec::new();
    model.for_each_param(&mut |name, p| {
        read.push((name.to_owned(), p.shape()));
    });
    let of = |kind: &str| -> Result<Vec<Value>, TrainError> {
        read.iter()
            .map(|(name, shape)| {
                let values = moments
                    .tensor_shaped(&format!("{kind}.{name}"), shape)
                    .map_err(|e| TrainError::Model(e.into()))?;
                Ok(value(values, shape, device))
            })
            .collect()
    };
    let optimiser = AdamW { first: of("first")?, second: of("second")? };
    Ok(Some((state, model, optimiser)))
}

fn value(values: Vec<f32>, shape: &[usize], device: &Device) -> Value {
    let data = TensorData::new(values, shape.to_vec());
    match shape.len() {
        1 => Value::D1(Tensor::from_data(data, device)),
        2 => Value::D2(Tensor::from_data(data, device)),
        _ => Value::D3(Tensor::from_data(data, device)),
    }
}

/// Removes what another run left in the folder.
pub(crate) fn clear(run: &Path) -> Result<(), TrainError> {
    for name in ["checkpoints", "final"] {
        let path = run.join(name);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(TrainError::write(&path, e));
            }
            _ => {}
        }
    }
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
    slam_dataset::publish::write(&staged.join(TOKENISER), &text)?;
    let _ = fs::remove_dir_all(&target);
    fs::rename(&staged, &target).map_err(|e| TrainError::write(&target, e))
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
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(TrainError::read(&path, e)),
    }
}
