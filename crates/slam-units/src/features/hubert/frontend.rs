//! The convolutional frontend: samples to frames, in chunks, with the result of one pass over everything.

use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::ops::{self, Activation};

use super::config::HubertConfig;
use super::weights::{Convolution, LayerNorm, Source};

/// Frames that are computed at once: bounds memory (25 s at 25 Hz).
const CHUNK: usize = 640;
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
    /// The convolution's weight `[channels, kernel]` and bias.
    convolution: Vec<f32>,
    convolution_bias: Vec<f32>,
    kernel: usize,
    stride: usize,
}

impl Frontend {
    pub(super) fn load(
        source: &Source<'_>,
        config: &HubertConfig,
        device: &Device,
    ) -> Result<Self, String> {
        let mut layers = Vec::new();
        let mut group_norm = None;
        let mut input = 1;
        for (i, &output) in config.conv_dim.iter().enumerate() {
            let name = format!("feature_extractor.conv_layers.{i}");
            let (kernel, stride) = (config.conv_kernel[i], config.conv_stride[i]);
            let shape = [output, input, kernel];
            let values = source.values(&format!("{name}.conv.weight"), &shape)?;
            let bias_name = format!("{name}.conv.bias");
            let bias = config.conv_bias.then(|| source.vector(&bias_name, output)).transpose()?;
            let convolution = Convolution::new(source, &values, shape, bias, stride);
            let norm_name = format!("{name}.layer_norm");
            let mut norm = None;
            if config.feat_extract_norm == "layer" {
                norm = Some(LayerNorm::load(source, &norm_name, output, NORM_EPS)?);
            } else if i == 0 {
                let convolution_bias = if config.conv_bias {
                    source.values(&bias_name, &[output])?
                } else {
                    vec![0.0; output]
                };
                group_norm = Some(GroupNorm {
                    weight: source.values(&format!("{norm_name}.weight"), &[output])?,
                    bias: source.values(&format!("{norm_name}.bias"), &[output])?,
                    convolution: values,
                    convolution_bias,
                    kernel,
                    stride,
                });
            }
            layers.push(Layer { convolution, norm });
            input = output;
        }
        let overflow = "the strides overflow";
        Ok(Self {
            layers,
            group_norm,
            hop: config.hop().ok_or(overflow)?,
            receptive_field: config.receptive_field().ok_or(overflow)?,
            device: device.clone(),
        })
    }

    /// How many frames so many samples give.
    pub(super) fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.receptive_field).map_or(0, |rest| rest / self.hop + 1)
    }

    /// Frames of samples, `[frames, channels]`; there must be at least one.
    pub(super) fn forward(&self, samples: &[f32]) -> Tensor<2> {
        let normalised = self.group_norm.as_ref().map(|norm| {
            let (scale, shift) = norm.scale_and_shift(samples);
            let vector = |values: Vec<f32>| {
                let size = values.len();
                Tensor::from_data(TensorData::new(values, [size]), &self.device)
            };
            self.layers[0].convolution.scaled(vector(scale), vector(shift))
        });
        let count = self.frames(samples.len());
        let chunks = (0..count).step_by(CHUNK).map(|first| {
            let last = (first + CHUNK).min(count) - 1;
            let part = &samples[first * self.hop..last * self.hop + self.receptive_field];
            let data = TensorData::new(part.to_vec(), [part.len(), 1]);
            let mut x = Tensor::<2>::from_data(data, &self.device);
            for (i, layer) in self.layers.iter().enumerate() {
                let convolution = match &normalised {
                    Some(normalised) if i == 0 => normalised,
                    _ => &layer.convolution,
                };
                x = match &layer.norm {
                    Some(norm) => ops::gelu(norm.forward(convolution.forward(x, Activation::None))),
                    None => convolution.forward(x, Activation::Gelu),
                };
            }
            x
        });
        Tensor::cat(chunks.collect(), 0)
    }
}

impl GroupNorm {
    /// What the norm multiplies each channel of the convolution with, and what it adds then.
    fn scale_and_shift(&self, samples: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Self { kernel, stride, .. } = *self;
        let (mean, covariance) = moments(samples, kernel, stride);
        let channels = self.convolution.chunks_exact(kernel).zip(&self.convolution_bias);
        let norms = self.weight.iter().zip(&self.bias);
        channels
            .zip(norms)
            .map(|((w, &b), (&gamma, &beta))| {
                let w = |i: usize| f64::from(w[i]);
                let centre = (0..kernel).map(|i| w(i) * mean[i]).sum::<f64>() + f64::from(b);
                let variance: f64 = (0..kernel)
                    .flat_map(|i| (0..kernel).map(move |j| (i, j)))
                    .map(|(i, j)| w(i) * w(j) * covariance[i * kernel + j])
                    .sum();
                let scale = f64::from(gamma) / (variance.max(0.0) + NORM_EPS).sqrt();
                (scale as f32, (f64::from(beta) - centre * scale) as f32)
            })
            .unzip()
    }
}

/// Mean `[kernel]` and covariance `[kernel, kernel]` of the windows of a sequence, in double precision.
fn moments(samples: &[f32], kernel: usize, stride: usize) -> (Vec<f64>, Vec<f64>) {
    let windows = || samples.windows(kernel).step_by(stride);
    let count = windows().len().max(1) as f64;
    let mut mean = vec![0.0; kernel];
    for window in windows() {
        mean.iter_mut().zip(window).for_each(|(m, x)| *m += f64::from(*x));
    }
    mean.iter_mut().for_each(|m| *m /= count);
    let mut covariance = vec![0.0; kernel * kernel];
    let mut centred = vec![0.0; kernel];
    for window in windows() {
        for ((c, x), m) in centred.iter_mut().zip(window).zip(&mean) {
            *c = f64::from(*x) - m;
        }
        for (row, a) in covariance.chunks_exact_mut(kernel).zip(&centred) {
            row.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b);
        }
    }
    covariance.iter_mut().for_each(|c| *c /= count);
    (mean, covariance)
}
