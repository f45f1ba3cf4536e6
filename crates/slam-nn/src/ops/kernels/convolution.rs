//! One-dimensional convolution as one matrix product over overlapping rows: no window is copied.

use super::activation::gelu_in_place;
use super::matrix::{Into, Matrix, add_bias, all_threads, product};
use super::written;

/// Sizes of a convolution over `[time, channels]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Sizes {
    /// Output frames.
    pub frames: usize,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub outputs: usize,
    /// Input frames that an output frame sees.
    pub kernel: usize,
    /// Input frames between output frames.
    pub stride: usize,
}

/// `weight` has rows of `kernel * channels`, the kernel's first frame first.
pub(in crate::ops) fn convolve(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    sizes: &Sizes,
    gelu: bool,
) -> Vec<f32> {
    let Sizes { frames, channels, outputs, kernel, stride } = *sizes;
    let width = kernel * channels;
    let windows = Matrix::new(x, frames, width, stride * channels);
    let weight = Matrix::new(weight, outputs, width, width).transposed();
    // SAFETY: the width is above 0, so the product writes all `frames * outputs` values.
    let mut y = unsafe {
        written(frames * outputs, |y| {
            let y = y.as_mut_ptr().cast();
            product(y, outputs, Into::Replace, 1.0, windows, weight, all_threads());
        })
    };
    if let Some(bias) = bias {
        add_bias(&mut y, bias);
    }
    if gelu {
        gelu_in_place(&mut y);
    }
    y
}
