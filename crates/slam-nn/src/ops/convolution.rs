//! One-dimensional convolution over time, channels last, for inference.

use burn::tensor::Tensor;

use super::fused;
use super::kernels::convolution::{Sizes, convolve};
use super::reference;

/// What a convolution's result passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// [`gelu`](super::gelu), in the same pass.
    Gelu,
}

/// A convolution without padding. On the CPU it is one matrix product over overlapping rows, and its
/// gradient is not tracked.
///
/// # Shapes
/// - `x`: `[time, channels]`, `time >= kernel`
/// - `weight`: `[outputs, kernel * channels]`, the kernel's first frame first; `bias`: `[outputs]`
/// - result: `[(time - kernel) / stride + 1, outputs]`
pub fn conv1d(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    stride: usize,
    activation: Activation,
) -> Tensor<2> {
    let ([time, channels], [outputs, width]) = (x.dims(), weight.dims());
    assert!(channels > 0 && width > 0 && width.is_multiple_of(channels), "conv1d: sizes differ");
    let kernel = width / channels;
    assert!(stride > 0 && time >= kernel, "conv1d: a kernel longer than the sequence");
    let on_cpu = fused::fits(&x) && fused::fits(&weight) && bias.as_ref().is_none_or(fused::fits);
    if !on_cpu {
        return reference::conv1d(x, weight, bias, stride, activation);
    }
    let sizes = Sizes { frames: (time - kernel) / stride + 1, channels, outputs, kernel, stride };
    let (x, weight, bias) =
        (fused::take(x), fused::take(weight), bias.map(fused::take).transpose());
    match (x, weight, bias) {
        (Ok(x), Ok(weight), Ok(bias)) => {
            let bias = bias.as_ref().map(fused::values);
            let gelu = activation == Activation::Gelu;
            let y = convolve(fused::values(&x), fused::values(&weight), bias, &sizes, gelu);
            fused::give(fused::tensor(y, [sizes.frames, outputs].into()))
        }
        // A tensor under autodiff is not ours to take apart.
        (x, weight, bias) => reference::conv1d(
            x.map_or_else(|x| x, fused::give),
            weight.map_or_else(|w| w, fused::give),
            bias.map_or_else(Some, |b| b.map(fused::give)),
            stride,
            activation,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn the_product_equals_the_twin_and_burns_convolution() {
        let device = Device::flex();
        let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Default, &device);
        for (time, channels, outputs, kernel, stride) in
            [(40, 3, 5, 3, 2), (31, 1, 4, 10, 5), (7, 4, 2, 2, 2), (9, 2, 3, 4, 1)]
        {
            let (x, weight) = (random([time, channels]), random([outputs, kernel * channels]));
            let bias = random([1, outputs]).reshape([outputs]);
            for activation in [Activation::None, Activation::Gelu] {
                let fast =
                    conv1d(x.clone(), weight.clone(), Some(bias.clone()), stride, activation);
                let twin = reference::conv1d(
                    x.clone(),
                    weight.clone(),
                    Some(bias.clone()),
                    stride,
                    activation,
                );
                fast.into_data().assert_approx_eq::<f32>(
                    &twin.into_data(),
                    burn::tensor::Tolerance::absolute(1e-5),
                );
            }
        }
    }
}
