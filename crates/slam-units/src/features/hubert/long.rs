//! Long utterances in windows that overlap and are joined where they agree best.

use std::ops::Range;

use burn::tensor::Tensor;

/// Gives `each` the rows of the result of `forward` over `frames` rows, part by part and in order.
///
/// `input` makes rows `[rows, hidden]` and is asked for each row once, in order; `forward` keeps the shape. Up to
/// `window` rows go through at once. A longer utterance is cut into windows that share `overlap` rows; each pair
/// is joined at the row of the middle half of the overlap at which both have the most similar values, so that
/// neither contributes a row near its edge. Memory is that of two windows, however long the utterance is.
pub(super) fn in_windows(
    frames: usize,
    window: usize,
    overlap: usize,
    input: &mut dyn FnMut(Range<usize>) -> Tensor<2>,
    forward: &dyn Fn(Tensor<2>) -> Tensor<2>,
    each: &mut dyn FnMut(&[f32]),
) {
    let values = |x: Tensor<2>| -> Vec<f32> { x.into_data().iter::<f32>().collect() };
    let mut end = window.min(frames);
    let first = input(0..end);
    let hidden = first.dims()[1];
    if end == frames {
        return each(&values(forward(first)));
    }
    // The last rows of the window's input, which the next one starts with, and its result from them on.
    let mut shared = first.clone().narrow(0, end - overlap, overlap);
    let mut out = values(forward(first));
    let mut tail = out.split_off((end - overlap) * hidden);
    each(&out);
    while end < frames {
        let to = (end - overlap + window).min(frames);
        let part = Tensor::cat(vec![shared, input(end..to)], 0);
        let rows = part.dims()[0];
        shared = part.clone().narrow(0, rows - overlap, overlap);
        let mut next = values(forward(part));
        let distance = |i: usize| -> f32 {
            let row = i * hidden..(i + 1) * hidden;
            tail[row.clone()].iter().zip(&next[row]).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let middle = overlap / 4..(overlap - overlap / 4).max(overlap / 4 + 1);
        let seam =
            middle.min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(overlap / 2);
        each(&tail[..seam * hidden]);
        end = to;
        tail = if end < frames { next.split_off((rows - overlap) * hidden) } else { Vec::new() };
        each(&next[seam * hidden..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Rows of two values that count up, through windows of 8 and more with their results joined.
    fn joined(
        frames: usize,
        [window, overlap]: [usize; 2],
        forward: &dyn Fn(Tensor<2>) -> Tensor<2>,
    ) -> Vec<f32> {
        let mut asked = 0;
        let mut out = Vec::new();
        let mut input = |rows: Range<usize>| {
            assert_eq!(rows.start, asked, "each row is made once");
            asked = rows.end;
            let values: Vec<f32> = (2 * rows.start..2 * rows.end).map(|i| i as f32).collect();
            Tensor::from_data(TensorData::new(values, [rows.len(), 2]), &Device::flex())
        };
        in_windows(frames, window, overlap, &mut input, forward, &mut |part| {
            out.extend_from_slice(part);
        });
        assert_eq!(asked, frames);
        out
    }

    #[test]
    fn windows_of_a_framewise_function_give_every_frame_once() {
        for frames in [1, 7, 8, 9, 12, 13, 15, 40, 41] {
            let whole: Vec<f32> = (0..frames * 2).map(|i| i as f32).collect();
            assert_eq!(joined(frames, [8, 4], &|x| x), whole, "{frames} frames");
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
        let joined = joined(50, [16, 8], &marked);
        let edges: Vec<usize> = (0..50).filter(|i| joined[2 * i] > 0.0).collect();
        assert_eq!(edges, [0, 49]);
    }
}
