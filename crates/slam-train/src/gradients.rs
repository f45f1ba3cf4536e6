//! The gradients of a step: its parts one behind the other, several devices side by side.
//!
//! The weights are f32. Where the model computes in another width, it is copied into that width once a step,
//! outside the graph: every part's backward pass ends at the copies, and what arrives there is added to f32 sums
//! that belong to the weights. A cast inside the graph would be consumed by the first part's backward pass.

use std::collections::BTreeMap;
use std::thread;

use burn::tensor::{Device, GradientCheckpointingStrategy};
use slam_lm::Decoder;
use slam_nn::params::Parameters;

use crate::config::{Activations, Optimised, OptimiserConfig, Precision, Width};
use crate::objective::{Loss, Objective};
use crate::optimiser::GradientSum;

/// What a step computes on.
pub(crate) struct Devices<'a> {
    /// The device of the weights; gradients are summed here.
    pub(crate) first: &'a Device,
    /// More devices, each with a copy of the weights.
    pub(crate) others: &'a [Device],
}

/// What a step came to: sums over its samples, until they are divided by the step's weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Done {
    pub(crate) loss: f64,
    /// The gradient's norm.
    pub(crate) norm: f64,
    pub(crate) tokens: u64,
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Done {
    fn add(&mut self, loss: f64, tokens: u64, figures: BTreeMap<String, f64>) {
        self.loss += loss;
        self.tokens += tokens;
        for (name, value) in figures {
            *self.figures.entry(name).or_default() += value;
        }
    }
}

/// The model as a step computes with it: in the configured width, and marked for recomputation where asked.
///
/// Within autodiff its parameters are leaves. In f32 they are the model's own; in another width they are
/// copies, whose gradients are those of the weights but for their width.
pub(crate) fn computing(model: &Decoder, config: &OptimiserConfig) -> Decoder {
    let strategy = match config.activations {
        Activations::Keep => GradientCheckpointingStrategy::Disabled,
        Activations::Recompute => GradientCheckpointingStrategy::Balanced,
    };
    let mut computing = model.clone();
    computing.for_each_param_mut(&mut |_, p| {
        if config.precision != Precision::F32 {
            p.set_width(config.precision.width());
        }
        p.set_checkpointing(strategy);
    });
    computing
}

/// Gradients, losses and figures of a step, all as sums. The model is within autodiff, its parameters are f32
/// and leaves.
pub(crate) fn of_step<O: Objective + Sync>(
    objective: &O,
    model: &Decoder,
    config: &OptimiserConfig,
    devices: &Devices<'_>,
    parts: &[O::Micro],
) -> (GradientSum, Done) {
    let count = 1 + devices.others.len();
    let of = |model: &Decoder, device: &Device, first: usize| {
        let device = config.autodiff(device);
        let computing = computing(model, config);
        let mut sums = GradientSum::default();
        let mut done = Done::default();
        for part in parts.iter().skip(first).step_by(count) {
            let Loss { sum, figures } = objective.loss(&computing, part, &device);
            sums.add(&computing, sum.backward());
            let loss = sum.into_data().iter::<f64>().sum();
            done.add(loss, objective.tokens(part), figures());
        }
        (sums, done)
    };
    thread::scope(|scope| {
        let replicas: Vec<_> = devices
            .others
            .iter()
            .zip(1..)
            .map(|(device, first)| {
                let mut model = model.clone().to_device(&config.autodiff(device));
                model.for_each_param_mut(&mut |_, p| p.make_leaf());
                scope.spawn(move || of(&model, device, first))
            })
            .collect();
        let (mut sums, mut done) = of(model, devices.first, 0);
        // In the devices' order, whichever is ready first.
        for replica in replicas {
            let (more, other) = match replica.join() {
                Ok(both) => both,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            sums.merge(more, devices.first);
            done.add(other.loss, other.tokens, other.figures);
        }
        (sums, done)
    })
}

#[cfg(test)]
mod tests;
