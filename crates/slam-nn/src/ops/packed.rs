//! Linear layers and convolutions with fixed weights, for inference.

use super::arguments::Activation;
use super::fused;
use super::kernels::product::fixed::Panels;
use super::reference;
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Weights `[outputs, inputs]` and a bias `[outputs]` that stay as they are. On the CPU they are laid out
/// once for its product, and gradients are not tracked. A row's result does not depend on other rows.
#[derive(Clone, Debug)]
pub struct FixedLinear(Form);

#[derive(Clone, Debug)]
enum Form {
    Panels(Arc<Panels>),
    Tensors(Box<Tensors>),
}

/// Weights on a device without a kernel of ours.
#[derive(Clone, Debug)]
struct Tensors {
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl FixedLinear {
    /// Weights in rows of `inputs`, one row an output.
    ///
    /// # Panics
    /// If the sizes don't fit or one is 0.
    pub fn new(weight: Vec<f32>, inputs: usize, bias: Option<Vec<f32>>, device: &Device) -> Self {
        let sizes = inputs > 0 && !weight.is_empty() && weight.len().is_multiple_of(inputs);
        assert!(sizes, "fixed linear: weights in rows of {inputs}");
        let outputs = weight.len() / inputs;
        assert!(
            bias.as_ref().is_none_or(|b| b.len() == outputs),
            "fixed linear: one bias an output"
        );
        if crate::device::is_cpu(device) {
            return Self(Form::Panels(Arc::new(Panels::new(&weight, inputs, bias))));
        }
        Self(Form::Tensors(Box::new(Tensors {
            weight: Tensor::from_data(TensorData::new(weight, [outputs, inputs]), device),
            bias: bias.map(|b| Tensor::from_data(TensorData::new(b, [outputs]), device)),
        })))
    }

    /// `x wᵀ + bias`, `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        let [rows, inputs] = x.dims();
        match &self.0 {
            Form::Panels(panels) => {
                assert_eq!(inputs, panels.inner(), "fixed linear: inner sizes differ");
                times(panels, x, rows, inputs, activation)
            }
            Form::Tensors(w) => {
                let y = reference::linear(x, w.weight.clone(), w.bias.clone());
                if activation == Activation::Gelu { reference::gelu(y) } else { y }
            }
        }
    }

    /// A convolution over time, channels last, without padding; a weight's row is the kernel's first frame
    /// first.
    ///
    /// # Shapes
    /// - `x`: `[time, channels]`, `time >= kernel`, where `kernel * channels` are the inputs
    /// - result: `[(time - kernel) / stride + 1, outputs]`
    pub fn conv1d(&self, x: Tensor<2>, stride: usize, activation: Activation) -> Tensor<2> {
        let [time, channels] = x.dims();
        assert!(channels > 0 && stride > 0, "conv1d: sizes of 0");
        match &self.0 {
            Form::Panels(panels) => {
                let kernel = panels.inner() / channels;
                assert_eq!(kernel * channels, panels.inner(), "conv1d: sizes differ");
                assert!(time >= kernel, "conv1d: a kernel longer than the sequence");
                let frames = (time - kernel) / stride + 1;
                times(panels, x, frames, stride * channels, activation)
            }
            Form::Tensors(w) => {
                reference::conv1d(x, w.weight.clone(), w.bias.clone(), stride, activation)
            }
        }
    }
}

/// The product of rows, `stride` values apart, of a tensor on the CPU.
fn times(
    panels: &Panels,
    x: Tensor<2>,
    rows: usize,
    stride: usize,
    activation: Activation,
) -> Tensor<2> {
    match fused::take(x) {
        Ok(x) => {
            let gelu = activation == Activation::Gelu;
            let y = panels.times(fused::values(&x), rows, stride, gelu);
            fused::give(fused::tensor(y, [rows, panels.outputs()].into()))
        }
        Err(x) => panic!("fixed linear: an input on {:?}, weights on the CPU", x.device()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    fn random(shape: [usize; 2]) -> Tensor<2> {
        Tensor::random(shape, Distribution::Default, &Device::flex())
    }

    fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
        x.to_data().iter::<f32>().collect()
    }

    fn assert_close(a: Tensor<2>, b: Tensor<2>) {
        a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn convolutions_equal_burns() {
        for (time, channels, outputs, kernel, stride) in
            [(40, 3, 5, 3, 2), (31, 1, 4, 10, 5), (7, 4, 2, 2, 2), (9, 2, 3, 4, 1)]
        {
            let (x, weight) = (random([time, channels]), random([outputs, kernel * channels]));
            let bias: Tensor<1> = random([1, outputs]).reshape([outputs]);
            let layer = FixedLinear::new(
                values(&weight),
                kernel * channels,
                Some(values(&bias)),
                &Device::flex(),
            );
            for activation in [Activation::None, Activation::Gelu] {
                let twin = reference::conv1d(
                    x.clone(),
                    weight.clone(),
                    Some(bias.clone()),
                    stride,
                    activation,
                );
                assert_close(layer.conv1d(x.clone(), stride, activation), twin);
            }
        }
    }

    #[test]
    fn linear_layers_equal_their_twin() {
        let (x, weight) = (random([9, 33]), random([21, 33]));
        let layer = FixedLinear::new(values(&weight), 33, None, &Device::flex());
        let twin = reference::linear(x.clone(), weight, None);
        assert_close(layer.forward(x.clone(), Activation::None), twin.clone());
        assert_close(layer.forward(x, Activation::Gelu), reference::gelu(twin));
    }
}
