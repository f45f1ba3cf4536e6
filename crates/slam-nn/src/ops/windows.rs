//! Sliding windows over time: a convolution is [`linear`](super::linear) over them.

use burn::tensor::Tensor;

use super::fused;

/// The windows of a sequence as rows. With channels last a window is one run of memory, so that on the
/// CPU this is one copy; the gradient is not tracked there.
///
/// # Shapes
/// - `x`: `[time, channels]`, `time >= kernel`
/// - result: `[(time - kernel) / stride + 1, kernel * channels]`, the kernel's first frame first
pub fn windows(x: Tensor<2>, kernel: usize, stride: usize) -> Tensor<2> {
    let [time, channels] = x.dims();
    assert!(kernel > 0 && stride > 0 && time >= kernel, "windows: longer than the sequence");
    let frames = (time - kernel) / stride + 1;
    let width = kernel * channels;
    match fused::take(x) {
        Ok(x) => {
            let from = fused::values(&x);
            let mut out = Vec::with_capacity(frames * width);
            for frame in 0..frames {
                let at = frame * stride * channels;
                out.extend_from_slice(&from[at..at + width]);
            }
            fused::give(fused::tensor(out, [frames, width].into()))
        }
        Err(x) => reference(x, kernel, stride),
    }
}

/// The plain-tensor twin.
fn reference(x: Tensor<2>, kernel: usize, stride: usize) -> Tensor<2> {
    let [_, channels] = x.dims();
    let view: Tensor<3> = x.unfold(0, kernel, stride);
    let frames = view.dims()[0];
    // `unfold` puts the kernel last.
    view.swap_dims(1, 2).reshape([frames, kernel * channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn the_copy_equals_the_twin() {
        let device = Device::flex();
        for (time, channels, kernel, stride) in [(11, 3, 3, 2), (10, 1, 10, 5), (7, 4, 2, 1)] {
            let x = Tensor::<2>::random([time, channels], Distribution::Default, &device);
            let fast = windows(x.clone(), kernel, stride).into_data();
            let plain = reference(x, kernel, stride).into_data();
            assert_eq!(fast, plain);
        }
    }
}
