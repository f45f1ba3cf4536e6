//! How a model is optimised; the same for pre-training and DPO.

use burn::tensor::{DType, Device, FloatDType};
pub use slam_recipe::training::{Activations, Decay, OptimiserConfig, Precision};

use crate::config_error::{ConfigError, Wanted, within};
use crate::schedule::Schedule;

/// The most threads that may prepare data.
const MOST_THREADS: f64 = 64.0;

/// The width that a model computes in, as Burn names it.
pub trait Width {
    /// The element type of the computation.
    fn dtype(self) -> DType;
    /// The width of the computation.
    fn width(self) -> FloatDType;
}

impl Width for Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    fn width(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }
}

/// What a configuration of the optimiser means on a device.
pub(crate) trait Optimised {
    /// The learning rate over the run.
    fn schedule(&self) -> Schedule;
    /// A device with autodiff as the configuration has it.
    fn autodiff(&self, device: &Device) -> Device;
    /// Whether the values make sense.
    ///
    /// # Errors
    /// With the first that does not.
    fn check(&self) -> Result<(), ConfigError>;
}

impl Optimised for OptimiserConfig {
    fn schedule(&self) -> Schedule {
        let Self { peak_lr, min_lr, warmup, .. } = *self;
        Schedule { shape: self.schedule, peak_lr, min_lr, warmup }
    }

    fn autodiff(&self, device: &Device) -> Device {
        let device = device.clone().inner().autodiff();
        match self.activations {
            Activations::Keep => device,
            Activations::Recompute => device.gradient_checkpointing(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
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
