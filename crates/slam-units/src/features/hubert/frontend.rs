//! The convolutional frontend: samples to frames, in chunks, with the result of one pass over everything.

use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::ops;

use super::config::HubertConfig;
use super::weights::{LayerNorm, Linear, Source};

/// Frames that are computed at once: bounds memory (25 s at 25 Hz).
const CHUNK: usize = 640;
/// The epsilon of torch's `GroupNorm` as HuBERT uses it.
const GROUP_NORM_EPS: f64 = 1e-5;

/// The stack of convolutions.
pub(super) struct Frontend {
    layers: Vec<Convolution>,
    hop: usize,
    receptive_field: usize,
    device: Device,
}

struct Convolution {
    linear: Linear,
    kernel: usize,
    stride: usize,
    norm: Norm,
}

enum Norm {
    None,
    /// Each frame over its channels.
    Layer(LayerNorm),
    /// Each channel over the whole utterance (a group norm with a group a channel).
    Group {
        weight: Tensor<1>,
        bias: Tensor<1>,
    },
}

impl Frontend {
    pub(super) fn load(
        source: &Source<'_>,
        config: &HubertConfig,
        device: &Device,
    ) -> Result<Self, String> {
        let mut layers = Vec::new();
        let mut input = 1;
        for (i, &output) in config.conv_dim.iter().enumerate() {
            let name = format!("feature_extractor.conv_layers.{i}");
            let (kernel, stride) = (config.conv_kernel[i], config.conv_stride[i]);
            let shape = [output, input, kernel];
            let values = source.values(&format!("{name}.conv.weight"), &shape)?;
            let bias = config
                .conv_bias
                .then(|| source.vector(&format!("{name}.conv.bias"), output))
                .transpose()?;
            let norm_name = format!("{name}.layer_norm");
            let norm = if config.feat_extract_norm == "layer" {
                Norm::Layer(LayerNorm::load(source, &norm_name, output, 1e-5)?)
            } else if i == 0 {
                Norm::Group {
                    weight: source.vector(&format!("{norm_name}.weight"), output)?,
                    bias: source.vector(&format!("{norm_name}.bias"), output)?,
                }
            } else {
                Norm::None
            };
            let linear = Linear::convolution(source, &values, shape, bias);
            layers.push(Convolution { linear, kernel, stride, norm });
            input = output;
        }
        let overflow = "the strides overflow";
        Ok(Self {
            layers,
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
        let statistics = self.statistics(samples);
        let count = self.frames(samples.len());
        let chunks = (0..count).step_by(CHUNK).map(|first| {
            let last = (first + CHUNK).min(count) - 1;
            let part = &samples[first * self.hop..last * self.hop + self.receptive_field];
            let mut x = self.column(part);
            for layer in &self.layers {
                x = layer.convolve(x);
                x = match &layer.norm {
                    Norm::None => x,
                    Norm::Layer(norm) => norm.forward(x),
                    Norm::Group { .. } => match &statistics {
                        Some((scale, shift)) => {
                            x * scale.clone().unsqueeze::<2>() + shift.clone().unsqueeze::<2>()
                        }
                        None => x,
                    },
                };
                x = ops::gelu(x);
            }
            x
        });
        Tensor::cat(chunks.collect(), 0)
    }

    fn column(&self, samples: &[f32]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(samples.to_vec(), [samples.len(), 1]), &self.device)
    }

    /// The first convolution's group norm as a factor and a summand per channel, from the mean and the
    /// variance over the whole utterance; `None` where there is no group norm.
    fn statistics(&self, samples: &[f32]) -> Option<(Tensor<1>, Tensor<1>)> {
        let first = self.layers.first()?;
        let Norm::Group { weight, bias } = &first.norm else { return None };
        let count = samples.len().checked_sub(first.kernel)? / first.stride + 1;
        // Chunks do not overlap here: every frame of the first convolution counts once.
        let step = CHUNK * self.hop / first.stride;
        let sums = |f: &dyn Fn(Tensor<2>) -> Tensor<2>| -> Vec<f64> {
            let mut total = vec![0.0; weight.dims()[0]];
            for from in (0..count).step_by(step) {
                let to = (from + step).min(count) - 1;
                let part = &samples[from * first.stride..to * first.stride + first.kernel];
                let sum = f(first.convolve(self.column(part))).sum_dim(0).into_data();
                total.iter_mut().zip(sum.iter::<f64>()).for_each(|(t, s)| *t += s);
            }
            total.iter().map(|t| t / count as f64).collect()
        };
        let mean = sums(&|x| x);
        let vector = |values: Vec<f64>| -> Tensor<1> {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            let size = values.len();
            Tensor::from_data(TensorData::new(values, [size]), &self.device)
        };
        let centre = vector(mean.clone());
        let variance = sums(&|x| (x - centre.clone().unsqueeze::<2>()).square());
        let scale = weight.clone()
            * vector(variance.iter().map(|v| 1.0 / (v + GROUP_NORM_EPS).sqrt()).collect());
        let shift = bias.clone() - centre * scale.clone();
        Some((scale, shift))
    }
}

impl Convolution {
    fn convolve(&self, x: Tensor<2>) -> Tensor<2> {
        self.linear.forward(ops::windows(x, self.kernel, self.stride))
    }
}
