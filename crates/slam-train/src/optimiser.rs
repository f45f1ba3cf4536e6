//! AdamW over a model's parameters, in place.

use burn::tensor::{DType, Device, Gradients, Tensor};
use slam_lm::Decoder;
use slam_nn::ops::{self, AdamWStep};
use slam_nn::params::{Parameter, Parameters};

use crate::config::Decay;

/// Gradients of all parameters in the model's order, as vectors in f32; `None` where the loss does not depend on
/// one.
#[derive(Clone, Debug, Default)]
pub struct GradientSum {
    values: Vec<Option<Tensor<1>>>,
}

impl GradientSum {
    /// Adds a backward pass's gradients at the leaves that it went to, the model's own parameters or copies
    /// in another width. Each gradient is given up once it is added, so that a pass's gradients in a narrow
    /// width and their f32 copies are never all held at once.
    pub fn add(&mut self, leaves: &Decoder, mut gradients: Gradients) {
        let mut of_pass = Vec::new();
        let mut sums = std::mem::take(&mut self.values).into_iter();
        leaves.for_each_param(&mut |_, p| {
            let gradient = p.take_gradient(&mut gradients).map(|g| g.cast(DType::F32));
            of_pass.push(sum(sums.next().flatten(), gradient));
        });
        self.values = of_pass;
    }

    /// Adds another device's sum, moved to this one's device.
    pub(crate) fn merge(&mut self, other: Self, device: &Device) {
        if self.values.is_empty() {
            self.values.resize(other.values.len(), None);
        }
        for (slot, new) in self.values.iter_mut().zip(other.values) {
            *slot = sum(slot.take(), new.map(|new| new.to_device(device)));
        }
    }

    /// Each parameter's gradient on the host, row-major; empty where the loss does not depend on it.
    pub fn to_f32(&self) -> Vec<Vec<f32>> {
        self.values.iter().map(|v| v.as_ref().map(Parameter::to_f32).unwrap_or_default()).collect()
    }

    /// The global norm: the root of the sum of all squares.
    pub fn norm(&self) -> f64 {
        self.values.iter().flatten().map(ops::sum_of_squares).sum::<f64>().sqrt()
    }
}

fn sum(old: Option<Tensor<1>>, new: Option<Tensor<1>>) -> Option<Tensor<1>> {
    match (old, new) {
        (Some(old), Some(new)) => Some(old + new),
        (old, new) => old.or(new),
    }
}

/// A parameter's first and second moments, as vectors.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor<1>,
    pub(crate) second: Tensor<1>,
}

/// First and second moments of every parameter, in the model's order.
#[derive(Clone, Debug)]
pub struct AdamW {
    pub(crate) moments: Vec<Moments>,
}

impl AdamW {
    /// Moments of zero.
    pub fn new(model: &Decoder) -> Self {
        let mut moments = Vec::new();
        model.for_each_param(&mut |_, p| {
            let zeros = Tensor::zeros([p.num_elements()], &p.device().inner());
            moments.push(Moments { first: zeros.clone(), second: zeros });
        });
        Self { moments }
    }

    /// Steps every parameter that has a gradient; those that `decay` leaves out do not decay. `grad_scale`
    /// of `step` multiplies gradients first.
    pub fn step(
        &mut self,
        model: &mut Decoder,
        gradients: GradientSum,
        step: &AdamWStep,
        decay: Decay,
    ) {
        let mut beside = gradients.values.into_iter().zip(&mut self.moments);
        model.for_each_param_mut(&mut |_, p| {
            let Some((Some(gradient), moments)) = beside.next() else { return };
            let weight_decay = if decays(decay, p) { step.weight_decay } else { 0.0 };
            let step = AdamWStep { weight_decay, ..*step };
            p.update(Box::new(|values| {
                // Taken out of their places, so that the step finds the only reference to each buffer.
                let first = take(&mut moments.first);
                let second = take(&mut moments.second);
                let (values, first, second) =
                    ops::adamw_step(values, gradient, first, second, &step);
                *moments = Moments { first, second };
                values
            }));
        });
    }
}

fn take(slot: &mut Tensor<1>) -> Tensor<1> {
    let empty = Tensor::zeros([1], &slot.device());
    std::mem::replace(slot, empty)
}

/// Whether a parameter decays.
fn decays(decay: Decay, parameter: &dyn Parameter) -> bool {
    match decay {
        Decay::All => true,
        Decay::Matrices => parameter.shape().len() > 1,
    }
}
