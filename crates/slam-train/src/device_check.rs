//! A device beside the CPU: the same training steps on both, compared.
//!
//! A GPU runs other kernels than the CPU, compiled by a driver that this project does not ship. Before a
//! day is spent on one, a few steps of two small decoders (between them every operation of the four
//! families) show whether it computes the same losses and gradients.

use burn::tensor::Device;
use slam_lm::batch::next_tokens;
use slam_lm::{Decoder, DecoderConfig, Family, Rng, TokenBatch};
use slam_nn::ops::AdamWStep;
use slam_nn::params::Parameters;

use crate::config::Decay;
use crate::error::TrainError;
use crate::optimiser::{AdamW, GradientSum};

/// How far a loss may be from the CPU's, as a share of it. In f32 only the order of sums differs: about
/// 1e-6 a step, which three optimiser steps amplify.
pub const LOSS_TOLERANCE: f64 = 1e-4;
/// How far a parameter's gradient may be from the CPU's, as a share of its norm. Sums of a few hundred
/// products in another order differ by 1e-6 to 1e-5; a wrong kernel by 1e-1 and more.
pub const GRADIENT_TOLERANCE: f64 = 1e-3;
/// The same on CUDA, whose f32 products may run on tensor cores that round the factors to TF32 (10 bits).
pub const TENSOR_CORE_TOLERANCE: f64 = 2e-2;

/// Optimiser steps of each decoder.
const STEPS: u64 = 3;
/// Gradients below this share of the global norm count as this share: rounding noise of a gradient that
/// is zero in exact arithmetic has no direction.
const NOISE: f64 = 1e-4;

/// The losses of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct LossPair {
    /// The decoder's family.
    pub family: &'static str,
    /// The step, from 1.
    pub step: u64,
    /// Mean loss on the CPU, nats a token.
    pub cpu: f64,
    /// Mean loss on the device.
    pub device: f64,
}

impl LossPair {
    /// The difference as a share of the CPU's loss; infinite where the device's is no number.
    pub fn difference(&self) -> f64 {
        let difference = (self.device - self.cpu).abs() / self.cpu.abs().max(f64::MIN_POSITIVE);
        if difference.is_nan() { f64::INFINITY } else { difference }
    }
}

/// One parameter's gradient in the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientDifference {
    /// The decoder's family.
    pub family: &'static str,
    /// The parameter.
    pub name: String,
    /// Norm of the difference over the norm of the CPU's gradient.
    pub difference: f64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceReport {
    /// Losses of all steps.
    pub losses: Vec<LossPair>,
    /// Gradients of all parameters.
    pub gradients: Vec<GradientDifference>,
}

impl DeviceReport {
    /// The largest difference of a loss.
    pub fn worst_loss(&self) -> f64 {
        self.losses.iter().map(LossPair::difference).fold(0.0, f64::max)
    }

    /// The parameter whose gradient differs most.
    pub fn worst_gradient(&self) -> Option<&GradientDifference> {
        self.gradients.iter().max_by(|a, b| a.difference.total_cmp(&b.difference))
    }

    /// Whether everything is within [`LOSS_TOLERANCE`] and this tolerance of gradients; losses get the
    /// gradients' tolerance where that one is wider.
    pub fn agrees(&self, gradient_tolerance: f64) -> bool {
        let loss = LOSS_TOLERANCE.max(gradient_tolerance.min(TENSOR_CORE_TOLERANCE) / 10.0);
        let gradient = self.worst_gradient().map_or(f64::INFINITY, |g| g.difference);
        !self.losses.is_empty() && self.worst_loss() <= loss && gradient <= gradient_tolerance
    }
}

/// Trains two small decoders for a few steps on the CPU and on a device (outside autodiff) and compares
/// losses and gradients.
///
/// # Errors
/// If a decoder can't be made.
pub fn check_device(device: &Device) -> Result<DeviceReport, TrainError> {
    let mut report = DeviceReport::default();
    for config in decoders() {
        let start = Decoder::random(&config, 1, &Device::flex())?;
        let family = config.family.model_type();
        let on_cpu = steps(start.clone(), &Device::flex());
        let on_device = steps(start, device);
        for (step, (cpu, device)) in on_cpu.losses.iter().zip(&on_device.losses).enumerate() {
            let step = step as u64 + 1;
            report.losses.push(LossPair { family, step, cpu: *cpu, device: *device });
        }
        let global = on_cpu.gradients.iter().map(|(_, g)| norm(g).powi(2)).sum::<f64>().sqrt();
        for ((name, cpu), (_, device)) in on_cpu.gradients.iter().zip(&on_device.gradients) {
            let difference = relative(cpu, device, global * NOISE);
            report.gradients.push(GradientDifference { family, name: name.clone(), difference });
        }
    }
    Ok(report)
}

/// Root-mean-square norms, rotary positions, SwiGLU and grouped heads; layer norms, GELU, biases and a
/// head of its own.
fn decoders() -> [DecoderConfig; 2] {
    let qwen = DecoderConfig::qwen2(66, 64, 160, 2, 4, 2, 64);
    let mut neox = DecoderConfig::qwen2(66, 64, 160, 2, 4, 4, 64);
    neox.family = Family::GptNeox;
    neox.norm_eps = 1e-5;
    neox.tie_embeddings = false;
    (neox.qkv_bias, neox.out_bias, neox.mlp_bias) = (true, true, true);
    neox.activation = slam_lm::config::Activation::Gelu;
    neox.rotary_dim = neox.head_dim / 4;
    neox.parallel_residual = true;
    [qwen, neox]
}

/// Losses of every step, and the first step's gradients by name.
struct Steps {
    losses: Vec<f64>,
    gradients: Vec<(String, Vec<f32>)>,
}

fn steps(model: Decoder, device: &Device) -> Steps {
    let tape = device.clone().autodiff();
    let mut model = model.to_device(&tape);
    model.for_each_param_mut(&mut |_, p| p.make_leaf());
    let mut optimiser = AdamW::new(&model);
    let mut out = Steps { losses: Vec::new(), gradients: Vec::new() };
    for step in 1..=STEPS {
        let rows = rows(step, model.config().vocab_size as u64);
        let rows: Vec<Vec<&[u32]>> =
            rows.iter().map(|row| row.iter().map(Vec::as_slice).collect()).collect();
        let targets = rows.iter().flatten().map(|s| s.len() - 1).sum::<usize>() as f64;
        let nll = model.token_nll(&TokenBatch::packed(&rows, &tape), next_tokens(&rows, &tape));
        let sum = nll.sum();
        let mut sums = GradientSum::default();
        sums.add(&model, sum.backward());
        if step == 1 {
            let mut gradients = sums.to_f32().into_iter();
            model.for_each_param(&mut |name, _| {
                out.gradients.push((name.to_owned(), gradients.next().unwrap_or_default()));
            });
        }
        out.losses.push(sum.into_data().iter::<f64>().sum::<f64>() / targets);
        let arguments = AdamWStep {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            step,
            grad_scale: 1.0 / targets,
        };
        optimiser.step(&mut model, sums, &arguments, Decay::All);
    }
    out
}

/// Two rows of packed segments, the second row shorter than the first.
fn rows(step: u64, vocab: u64) -> Vec<Vec<Vec<u32>>> {
    let mut rng = Rng::new(step);
    let mut segment =
        |len: usize| -> Vec<u32> { (0..len).map(|_| (rng.next_u64() % vocab) as u32).collect() };
    vec![vec![segment(20), segment(9), segment(19)], vec![segment(31), segment(2)]]
}

fn norm(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// `‖b − a‖ / max(‖a‖, floor)`; infinite where `b` has another length or holds no numbers.
fn relative(a: &[f32], b: &[f32], floor: f64) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*b) - f64::from(*a)).powi(2));
    let difference = squares.sum::<f64>().sqrt() / norm(a).max(floor).max(f64::MIN_POSITIVE);
    if difference.is_nan() { f64::INFINITY } else { difference }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_exactly_and_learns() {
        let report = check_device(&Device::flex()).unwrap();
        assert_eq!((report.worst_loss(), report.worst_gradient().unwrap().difference), (0.0, 0.0));
        assert!(report.agrees(GRADIENT_TOLERANCE));
        assert_eq!(report.losses.len() as u64, 2 * STEPS);
        assert!(report.gradients.len() > 40, "{}", report.gradients.len());
    }

    #[test]
    fn a_wrong_gradient_or_loss_or_one_that_is_no_number_is_told() {
        assert_eq!(relative(&[3.0, 4.0], &[3.0, 4.5], 0.0), 0.1);
        // Noise around zero is measured against the whole gradient.
        assert!(relative(&[1e-9], &[-1e-9], 1e-3) < 1e-5);
        for bad in [vec![f32::NAN, 0.0], vec![1.0], vec![]] {
            assert_eq!(relative(&[3.0, 4.0], &bad, 0.0), f64::INFINITY, "{bad:?}");
        }
        let pair = |device| LossPair { family: "qwen2", step: 1, cpu: 4.0, device };
        let gradient =
            |difference| GradientDifference { family: "qwen2", name: "w".into(), difference };
        let report = |loss, difference| DeviceReport {
            losses: vec![pair(loss)],
            gradients: vec![gradient(1e-7), gradient(difference)],
        };
        assert!(report(4.0001, 1e-5).agrees(GRADIENT_TOLERANCE));
        assert!(!report(4.01, 1e-5).agrees(GRADIENT_TOLERANCE));
        assert!(!report(f64::NAN, 1e-5).agrees(GRADIENT_TOLERANCE));
        assert!(!report(4.0, 1e-2).agrees(GRADIENT_TOLERANCE));
        assert!(report(4.0, 1e-2).agrees(TENSOR_CORE_TOLERANCE));
        assert!(!DeviceReport::default().agrees(GRADIENT_TOLERANCE));
    }
}
