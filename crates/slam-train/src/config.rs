//! How a model is optimised; the same for pre-training and DPO.

use burn::tensor::{DType, Device, FloatDType};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config_error::{ConfigError, Wanted, within};
use crate::schedule::{Schedule, Shape};

/// The most threads that may prepare data.
const MOST_THREADS: f64 = 64.0;

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

impl Precision {
    /// The width of the computation.
    pub(crate) fn width(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    /// The element type of the computation.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
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

impl OptimiserConfig {
    pub(crate) fn schedule(&self) -> Schedule {
        let Self { peak_lr, min_lr, warmup, .. } = *self;
        Schedule { shape: self.schedule, peak_lr, min_lr, warmup }
    }

    /// A device with autodiff as the configuration has it.
    pub(crate) fn autodiff(&self, device: &Device) -> Device {
        let device = device.clone().inner().autodiff();
        match self.activations {
            Activations::Keep => device,
            Activations::Recompute => device.gradient_checkpointing(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (name, value, wanted) in [
            ("peak_lr", self.peak_lr, Wanted::Positive),
            ("min_lr", self.min_lr, Wanted::UpToPeak(self.peak_lr)),
            ("warmup", self.warmup, Wanted::Below(1.0)),
            ("beta1", self.beta1, Wanted::Below(1.0)),
            ("beta2", self.beta2, Wanted::Below(1.0)),
            ("eps", self.eps, Wanted::AtLeast(0.0)),
            ("weight_decay", self.weight_decay, Wanted::AtLeast(0.0)),
            ("clip", self.clip, Wanted::AtLeast(0.0)),
            ("save_every_seconds", self.save_every_seconds, Wanted::AtLeast(0.0)),
            ("log_every", self.log_every as f64, Wanted::AtLeast(1.0)),
            ("prefetch", self.prefetch as f64, Wanted::AtMost(MOST_THREADS)),
        ] {
            within(&format!("optimiser.{name}"), value, wanted)?;
        }
        Ok(())
    }
}

/// A stage's parameters without those that change nothing of the result: how often it is logged and saved,
/// how many checkpoints are kept, how many threads prepare data. A run can be gone on with under others.
pub(crate) fn identity(params: &Value) -> Value {
    let mut params = params.clone();
    if let Some(optimiser) = params.get_mut("optimiser").and_then(Value::as_object_mut) {
        for name in ["log_every", "save_every_seconds", "keep", "prefetch"] {
            optimiser.remove(name);
        }
    }
    params
}
