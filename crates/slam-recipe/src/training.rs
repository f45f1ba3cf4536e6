//! How a model is trained: pre-training and preference optimisation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Wall-clock seconds, over all sessions of the run, with the last save inside.
    Seconds(f64),
    /// Optimiser steps.
    Steps(u64),
    /// Tokens trained on.
    Tokens(u64),
    /// Passes over the training data.
    Epochs(f64),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Wall-clock seconds, over all sessions, from reading the data to the last save.
    pub seconds: f64,
}

/// Parameters of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// When it ends.
    pub budget: Budget,
    /// Tokens of a row.
    #[serde(default = "context")]
    pub context: usize,
    /// Rows of an optimiser step.
    #[serde(default = "rows")]
    pub rows: usize,
    /// Rows computed at once; the rest of a step follows (gradient accumulation). 0 for all.
    #[serde(default)]
    pub micro_rows: usize,
    /// How samples become rows.
    #[serde(default)]
    pub packing: Packing,
    /// How datasets are mixed.
    #[serde(default)]
    pub mixture: Mixture,
    /// Utterances of fewer units are left out.
    #[serde(default)]
    pub min_units: usize,
    /// Utterances of more units are left out; 0 for none.
    #[serde(default)]
    pub max_units: usize,
    /// One training utterance in this many is held out for validation, beside those of the split
    /// `validation`; 0 for none.
    #[serde(default)]
    pub validation: usize,
    /// The seed of the order and of random weights.
    #[serde(default)]
    pub seed: u64,
    /// How the model is optimised.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
}

fn context() -> usize {
    1024
}

fn rows() -> usize {
    128
}

/// How samples become rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Pieces of at most the context, best-fit into rows; what then has room left is filled up with pieces
    /// cut from the emptiest rows. Every row but one is used to 98 % and more.
    #[default]
    Fill,
    /// The recipe's: pieces of at most the context, concatenated in order; a piece that does not fit into
    /// the rest of a row begins the next.
    Recipe,
}

/// How datasets are mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixture {
    /// How often each dataset is read in an epoch; one that is not named is read once. 0.5 reads half of it,
    /// the other half in the next epoch.
    Repetitions(BTreeMap<String, f64>),
    /// Each dataset's share of an epoch's tokens, in proportion to these weights. Every dataset is named; an
    /// epoch has as many tokens as the datasets together.
    Weights(BTreeMap<String, f64>),
}

impl Default for Mixture {
    /// Every dataset once.
    fn default() -> Self {
        Self::Repetitions(BTreeMap::new())
    }
}

/// Parameters of DPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoConfig {
    /// When it ends.
    pub budget: Budget,
    /// How far the policy may go from the reference: the smaller, the farther.
    #[serde(default = "beta")]
    pub beta: f64,
    /// The chance that a label is wrong (conservative DPO), 0 for none.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Pairs of an optimiser step.
    #[serde(default = "pairs")]
    pub pairs: usize,
    /// Pairs computed at once. 0 for all of a step.
    #[serde(default)]
    pub micro_pairs: usize,
    /// Most tokens of a prompt with its `<S>`; its last are kept (TRL's `max_prompt_length`). 0 for all.
    #[serde(default = "max_prompt_length")]
    pub max_prompt_length: usize,
    /// Most tokens of a continuation with its `<S>`; its first are kept (TRL's `max_completion_length`).
    /// 0 for all.
    #[serde(default)]
    pub max_completion_length: usize,
    /// Most tokens of prompt and continuation together (TRL's `max_length`). 0 for all.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// What happens to a sequence of more than `max_length` tokens; `drop` also leaves out pairs that the
    /// other two caps would cut.
    #[serde(default)]
    pub truncation: Truncation,
    /// One pair in this many is held out for validation; 0 for none.
    #[serde(default)]
    pub validation: usize,
    /// The seed of the order.
    #[serde(default)]
    pub seed: u64,
    /// How the model is optimised.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
}

fn beta() -> f64 {
    0.1
}

fn pairs() -> usize {
    64
}

fn max_prompt_length() -> usize {
    512
}

fn max_length() -> usize {
    1024
}

/// What happens to a sequence that is longer than it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// Its last tokens are kept: the prompt loses its beginning.
    #[default]
    KeepEnd,
    /// Its first tokens are kept: the continuation loses its end.
    KeepStart,
    /// The pair is left out.
    Drop,
}

/// How a model is optimised; the same for pre-training and DPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// The highest learning rate.
    pub peak_lr: f64,
    /// The learning rate a cosine ends at.
    pub min_lr: f64,
    /// The shape of the schedule.
    pub schedule: Shape,
    /// The share of the budget that the linear warm-up takes.
    pub warmup: f64,
    /// The global norm that gradients are clipped to; 0 for none.
    pub clip: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Which parameters it applies to.
    pub decay: Decay,
    /// The width that the model computes in.
    pub precision: Precision,
    /// Whether activations are kept or computed again.
    pub activations: Activations,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
    /// Steps between validations; 0 for only the last.
    pub validate_every: u64,
    /// Seconds between checkpoints.
    pub save_every_seconds: f64,
    /// How many checkpoints are kept, beside that of the lowest validation loss.
    pub keep: usize,
    /// Threads that prepare data ahead of the device; 0 prepares each step when it is due.
    pub prefetch: usize,
}

impl PretrainConfig {
    /// The parameters without those that change nothing of the result: how often it is logged and saved, how many
    /// checkpoints are kept, how many threads prepare data. A run can be gone on with under others.
    pub fn identity(&self) -> Value {
        identity(json!(self))
    }
}

impl DpoConfig {
    /// As [`PretrainConfig::identity`].
    pub fn identity(&self) -> Value {
        identity(json!(self))
    }
}

fn identity(mut params: Value) -> Value {
    if let Some(optimiser) = params.get_mut("optimiser").and_then(Value::as_object_mut) {
        for name in ["log_every", "save_every_seconds", "keep", "prefetch"] {
            optimiser.remove(name);
        }
    }
    params
}

impl Default for OptimiserConfig {
    /// The recipe's values.
    fn default() -> Self {
        Self {
            peak_lr: 1e-3,
            min_lr: 5e-5,
            schedule: Shape::Cosine,
            warmup: 0.01,
            clip: 0.5,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decay: Decay::All,
            precision: Precision::F32,
            activations: Activations::Keep,
            log_every: 10,
            validate_every: 0,
            save_every_seconds: 600.0,
            keep: 2,
            prefetch: 1,
        }
    }
}

/// The width that a model computes in. Weights and the optimiser's moments are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// Activations and their gradients in bfloat16; losses, norms and reductions in f32.
    Bf16,
}

/// Whether activations are kept for the backward pass or computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// Kept: the fastest.
    #[default]
    Keep,
    /// What is cheap to compute (norms, activations, rotations) is computed again: less memory, the same
    /// result.
    Recompute,
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// All, as the recipe has it.
    #[default]
    All,
    /// Matrices alone: no norm weights and no biases, as transformers groups them.
    Matrices,
}

/// The shape of the learning rate after its linear warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Half a cosine from the peak to the minimum.
    #[default]
    Cosine,
    /// The peak over the square root of the progress, in warm-ups.
    InverseSqrt,
    /// The peak.
    Constant,
}
