//! The convolutional frontend: samples to frames, in chunks, with the result of one pass over everything.

use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::ops::{self, Activation};
use slam_nn::weights::WeightsError;
use std::ops::Range;

use super::config::HubertConfig;
use super::weights::{Convolution, LayerNorm, Source};
use crate::lanes;

/// Frames that are computed at once on the CPU: what a convolution leaves is in the cache for the next one.
const CHUNK: usize = 32;
/// The same on other devices: bounds memory (25 s at 25 Hz).
const DEVICE_CHUNK: usize = 640;
/// The epsilon of torch's norms, which HuBERT's frontend leaves as it is.
const NORM_EPS: f64 = 1e-5;

/// The stack of convolutions.
pub(super) struct Frontend {
    layers: Vec<Layer>,
    /// The first convolution's group norm.
    group_norm: Option<GroupNorm>,
    hop: usize,
    receptive_field: usize,
    device: Device,
}

struct Layer {
    convolution: Convolution,
    /// Each frame over its channels.
    norm: Option<LayerNorm>,
}

/// Each channel over the whole utterance (a group norm with a group a channel), before the first GELU.
///
/// What is normalised is a linear function of the samples, so its mean and variance follow from those of the
/// windows: `w·μ + b` and `wᵀΣw`. The norm then becomes part of the convolution's weights.
struct GroupNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// The convolution's weight `[channels, kernel]`; a bias would leave with the mean.
    convolution: Vec<f32>,
    kernel: usize,
    stride: usize,
}

/// Samples with zeros before and after, which take no memory.
#[derive(Clone, Copy)]
pub(super) struct Padded<'a> {
    samples: &'a [f32],
    before: usize,
    after: usize,
}

impl<'a> Padded<'a> {
    pub(super) fn new(samples: &'a [f32], [before, after]: [usize; 2]) -> Self {
        Self { samples, before, after }
    }

    pub(super) fn len(&self) -> usize {
        self.before + self.samples.len() + self.after
    }

    /// A copy of a part.
    fn part(&self, range: Range<usize>) -> Vec<f32> {
        let inside = |at: usize| at.saturating_sub(self.before).min(self.samples.len());
        let mut part = vec![0.0; self.before.min(range.end).saturating_sub(range.start)];
        part.extend_from_slice(&self.samples[inside(range.start)..inside(range.end)]);
        part.resize(range.len(), 0.0);
        part
    }
}

/// The frontend for one utterance.
pub(super) struct Prepared<'a> {
    frontend: &'a Frontend,
    samples: Padded<'a>,
    /// The first convolution with the utterance's norm.
    first: Option<Convolution>,
}

impl Frontend {
    pub(super) fn load(
        source: &Source<'_>,
        config: &HubertConfig,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let mut layers = Vec::new();
        let mut group_norm = None;
        let mut input = 1;
        for (i, &output) in config.conv_dim.iter().enumerate() {
            let name = format!("feature_extractor.conv_layers.{i}");
            let (kernel, stride) = (config.conv_kernel[i], config.conv_stride[i]);
            let shape = [output, input, kernel];
            let values = source.values(&format!("{name}.conv.weight"), &shape)?;
            let bias_name = format!("{name}.conv.bias");
            let bias =
                config.conv_bias.then(|| source.values(&bias_name, &[output])).transpose()?;
            let convolution = Convolution::new(&values, shape, bias, stride, device);
            let norm_name = format!("{name}.layer_norm");
            let mut norm = None;
            if config.feat_extract_norm == "layer" {
                norm = Some(LayerNorm::load(source, &norm_name, output, NORM_EPS)?);
            } else if i == 0 {
                group_norm = Some(GroupNorm {
                    weight: source.values(&format!("{norm_name}.weight"), &[output])?,
                    bias: source.values(&format!("{norm_name}.bias"), &[output])?,
                    convolution: values,
                    kernel,
                    stride,
                });
            }
            layers.push(Layer { convolution, norm });
            input = output;
        }
        Ok(Self {
            layers,
            group_norm,
            hop: config.hop(),
            receptive_field: config.receptive_field(),
            device: device.clone(),
        })
    }

    /// How many frames so many samples give.
    pub(super) fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.receptive_field).map_or(0, |rest| rest / self.hop + 1)
    }

    /// Measures an utterance where a norm needs that.
    pub(super) fn prepare<'a>(&'a self, samples: Padded<'a>) -> Prepared<'a> {
        let first = self.group_norm.as_ref().map(|norm| norm.convolution(samples, &self.device));
        Prepared { frontend: self, samples, first }
    }
}

impl Prepared<'_> {
    /// Some of the utterance's frames, `[frames, channels]`; the range must not be empty.
    pub(super) fn frames(&self, range: Range<usize>) -> Tensor<2> {
        let cpu = slam_nn::device::is_cpu(&self.frontend.device);
        let size = if cpu { CHUNK } else { DEVICE_CHUNK };
        let starts: Vec<usize> = range.clone().step_by(size).collect();
        let chunk = |first: usize| self.chunk(first..(first + size).min(range.end));
        let chunks = if cpu {
            lanes::map(&starts, |_| 1, |&first| chunk(first))
        } else {
            starts.into_iter().map(chunk).collect()
        };
        Tensor::cat(chunks, 0)
    }

    fn chunk(&self, frames: Range<usize>) -> Tensor<2> {
        let Frontend { layers, hop, receptive_field, device, .. } = self.frontend;
        let last = frames.end - 1;
        let part = self.samples.part(frames.start * hop..last * hop + receptive_field);
        let size = part.len();
        let mut x = Tensor::<2>::from_data(TensorData::new(part, [size, 1]), device);
        for (i, layer) in layers.iter().enumerate() {
            let convolution = match &self.first {
                Some(first) if i == 0 => first,
                _ => &layer.convolution,
            };
            x = match &layer.norm {
                Some(norm) => ops::gelu(norm.forward(convolution.forward(x, Activation::None))),
                None => convolution.forward(x, Activation::Gelu),
            };
        }
        x
    }
}

impl GroupNorm {
    /// The convolution with the norm of these samples in it.
    fn convolution(&self, samples: Padded<'_>, device: &Device) -> Convolution {
        let Self { kernel, stride, .. } = *self;
        let (mean, covariance) = moments(samples, kernel, stride);
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        let norms = self.weight.iter().zip(&self.bias);
        for (w, (&gamma, &beta)) in self.convolution.chunks_exact(kernel).zip(norms) {
            let at = |i: usize| f64::from(w[i]);
            let centre = (0..kernel).map(|i| at(i) * mean[i]).sum::<f64>();
            let variance: f64 = (0..kernel)
                .flat_map(|i| (0..kernel).map(move |j| (i, j)))
                .map(|(i, j)| at(i) * at(j) * covariance[i * kernel + j])
                .sum();
            let scale = f64::from(gamma) / (variance.max(0.0) + NORM_EPS).sqrt();
            weight.extend(w.iter().map(|w| (f64::from(*w) * scale) as f32));
            bias.push((f64::from(beta) - centre * scale) as f32);
        }
        let shape = [bias.len(), 1, kernel];
        Convolution::new(&weight, shape, Some(bias), stride, device)
    }
}

/// Mean `[kernel]` and covariance `[kernel, kernel]` of the windows of a sequence, in double precision.
fn moments(samples: Padded<'_>, kernel: usize, stride: usize) -> (Vec<f64>, Vec<f64>) {
    /// Windows whose samples are copied at a time.
    const BLOCK: usize = 1 << 14;
    let count = samples.len().checked_sub(kernel).map_or(0, |rest| rest / stride + 1);
    let each_block = |each: &mut dyn FnMut(&[f32])| {
        for first in (0..count).step_by(BLOCK) {
            let last = (first + BLOCK).min(count) - 1;
            each(&samples.part(first * stride..last * stride + kernel));
        }
    };
    let mut mean = vec![0.0; kernel];
    each_block(&mut |block| {
        for window in block.windows(kernel).step_by(stride) {
            mean.iter_mut().zip(window).for_each(|(m, x)| *m += f64::from(*x));
        }
    });
    let divisor = count.max(1) as f64;
    for m in &mut mean {
        *m /= divisor;
    }
    let mut covariance = vec![0.0; kernel * kernel];
    let mut centred = vec![0.0; kernel];
    each_block(&mut |block| {
        for window in block.windows(kernel).step_by(stride) {
            for ((c, x), m) in centred.iter_mut().zip(window).zip(&mean) {
                *c = f64::from(*x) - m;
            }
            for (row, a) in covariance.chunks_exact_mut(kernel).zip(&centred) {
                row.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b);
            }
        }
    });
    for c in &mut covariance {
        *c /= divisor;
    }
    (mean, covariance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_padded_samples_is_that_of_a_copy() {
        let samples = [1.0, 2.0, 3.0];
        for pad in [[0, 0], [2, 1], [4, 4]] {
            let padded = Padded::new(&samples, pad);
            let mut copy = vec![0.0; pad[0]];
            copy.extend(samples);
            copy.resize(padded.len(), 0.0);
            for from in 0..=copy.len() {
                for to in from..=copy.len() {
                    assert_eq!(padded.part(from..to), copy[from..to], "{pad:?} {from}..{to}");
                }
            }
        }
    }
}
