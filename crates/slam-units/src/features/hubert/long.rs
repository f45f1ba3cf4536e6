//! Long utterances in windows that overlap and are joined where they agree best.

use burn::tensor::Tensor;

/// The rows of the result of `forward` over `x`, `[frames, hidden]` to the same shape.
///
/// Up to `window` frames go through at once. A longer utterance is cut into windows that share `overlap`
/// frames; each pair is joined at the frame of the middle half of the overlap at which both have the most
/// similar values, so that neither contributes a frame near its edge.
pub(super) fn in_windows(
    x: Tensor<2>,
    window: usize,
    overlap: usize,
    forward: &dyn Fn(Tensor<2>) -> Tensor<2>,
) -> Vec<f32> {
    let [frames, hidden] = x.dims();
    let compute = |from: usize, to: usize| -> Vec<f32> {
        forward(x.clone().narrow(0, from, to - from)).into_data().iter::<f32>().collect()
    };
    if frames <= window {
        return compute(0, frames);
    }
    let mut out = compute(0, window);
    let mut end = window;
    while end < frames {
        let from = end - overlap;
        let to = (from + window).min(frames);
        let next = compute(from, to);
        let distance = |i: usize| -> f32 {
            let a = &out[(from + i) * hidden..(from + i + 1) * hidden];
            let b = &next[i * hidden..(i + 1) * hidden];
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let middle = overlap / 4..(overlap - overlap / 4).max(overlap / 4 + 1);
        let seam =
            middle.min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(overlap / 2);
        out.truncate((from + seam) * hidden);
        out.extend_from_slice(&next[seam * hidden..]);
        end = to;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn ramp(frames: usize) -> Tensor<2> {
        let values: Vec<f32> = (0..frames * 2).map(|i| i as f32).collect();
        Tensor::from_data(TensorData::new(values, [frames, 2]), &Device::flex())
    }

    #[test]
    fn windows_of_a_framewise_function_give_every_frame_once() {
        for frames in [1, 7, 8, 9, 15, 40, 41] {
            let joined = in_windows(ramp(frames), 8, 4, &|x| x);
            let whole: Vec<f32> = (0..frames * 2).map(|i| i as f32).collect();
            assert_eq!(joined, whole, "{frames} frames");
        }
    }

    #[test]
    fn no_frame_comes_from_a_windows_edge() {
        // Marks the first and last frame of every window.
        let marked = |x: Tensor<2>| {
            let [n, _] = x.dims();
            let edge: Vec<f32> =
                (0..n).flat_map(|i| [f32::from(u8::from(i == 0 || i + 1 == n)), 0.0]).collect();
            Tensor::from_data(TensorData::new(edge, [n, 2]), &Device::flex())
        };
        let joined = in_windows(ramp(50), 16, 8, &marked);
        let edges: Vec<usize> = (0..50).filter(|i| joined[2 * i] > 0.0).collect();
        assert_eq!(edges, [0, 49]);
    }
}
