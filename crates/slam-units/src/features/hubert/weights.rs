//! Parameters of a HuBERT checkpoint by name, with the shapes they must have.

use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::ops::{self, Activation, FixedLinear};
use slam_nn::weights::{Weights, WeightsError};

/// A checkpoint's tensors on a device.
pub(super) struct Source<'a> {
    weights: &'a Weights,
    device: &'a Device,
    /// `hubert.` where the encoder is part of a larger model.
    prefix: &'static str,
}

impl<'a> Source<'a> {
    pub(super) fn new(weights: &'a Weights, device: &'a Device) -> Self {
        let nested = weights.contains("hubert.encoder.layer_norm.weight");
        Self { weights, device, prefix: if nested { "hubert." } else { "" } }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.weights.contains(&format!("{}{name}", self.prefix))
    }

    pub(super) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let name = format!("{}{name}", self.prefix);
        self.weights.tensor_shaped(&name, shape)
    }

    pub(super) fn vector(&self, name: &str, size: usize) -> Result<Tensor<1>, WeightsError> {
        let values = self.values(name, &[size])?;
        Ok(Tensor::from_data(TensorData::new(values, [size]), self.device))
    }

    pub(super) fn device(&self) -> &Device {
        self.device
    }
}

/// `x wᵀ + b`.
#[derive(Clone, Debug)]
pub(super) struct Linear(FixedLinear);

impl Linear {
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        output: usize,
        input: usize,
    ) -> Result<Self, WeightsError> {
        let weight = source.values(&format!("{name}.weight"), &[output, input])?;
        let bias = source.values(&format!("{name}.bias"), &[output])?;
        Ok(Self(FixedLinear::new(weight, input, Some(bias), source.device)))
    }

    pub(super) fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        self.0.forward(x, activation)
    }
}

/// A convolution over time, channels last.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    layer: FixedLinear,
    stride: usize,
}

impl Convolution {
    /// A weight `[output, input, kernel]`, as torch has it.
    pub(super) fn new(
        values: &[f32],
        [output, input, kernel]: [usize; 3],
        bias: Option<Vec<f32>>,
        stride: usize,
        device: &Device,
    ) -> Self {
        let mut rows = Vec::with_capacity(values.len());
        for o in 0..output {
            for k in 0..kernel {
                rows.extend((0..input).map(|i| values[(o * input + i) * kernel + k]));
            }
        }
        Self { layer: FixedLinear::new(rows, kernel * input, bias, device), stride }
    }

    /// `[time, input]` to `[frames, output]`.
    pub(super) fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        self.layer.conv1d(x, self.stride, activation)
    }
}

/// A layer norm.
#[derive(Clone, Debug)]
pub(super) struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
}

impl LayerNorm {
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        size: usize,
        eps: f64,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: source.vector(&format!("{name}.weight"), size)?,
            bias: source.vector(&format!("{name}.bias"), size)?,
            eps,
        })
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, self.weight.clone(), self.bias.clone(), self.eps)
    }
}
