//! The product of few rows, as generation makes it: bound by reading the weight.

use crate::ops::kernels::rows_per_task;
use crate::ops::kernels::simd::{sum_of_four, sum2};
use rayon::prelude::*;

/// Rows for which [`times_rows`] is the faster product: reading `w` is what costs, and it needs no packing.
pub(in crate::ops) const FEW_ROWS: usize = 16;

multiversion! {
    /// Each row of `w` times each row of `x`; `y` holds the products with one row of `w` behind each other.
    fn dots(x: &[f32], inner: usize, w: &[f32], y: &mut [f32]) {
        let fours = x.chunks_exact(4 * inner);
        let rest = fours.remainder();
        for (w, y) in w.chunks_exact(inner).zip(y.chunks_exact_mut(x.len() / inner)) {
            let (y_fours, y_rest) = y.as_chunks_mut::<4>();
            for (x, y) in fours.clone().zip(y_fours) {
                *y = sum_of_four(x, w, |x, w| x * w);
            }
            for (x, y) in rest.chunks_exact(inner).zip(y_rest) {
                *y = sum2(x, w, |x, w| x * w);
            }
        }
    }
}

/// `x wᵀ` for few rows, which are not empty: bound by reading `w`, so each of its rows is read once, in order,
/// by one thread. A row's result does not depend on the rows beside it.
pub(in crate::ops) fn times_rows(x: &[f32], inner: usize, w: &[f32]) -> Vec<f32> {
    let (rows, outer) = (x.len() / inner, w.len() / inner);
    let mut y = vec![0.0; rows * outer];
    let piece = 4 * rows_per_task(inner);
    y.par_chunks_mut(piece * rows)
        .zip(w.par_chunks(piece * inner))
        .for_each(|(y, w)| dots(x, inner, w, y));
    if rows == 1 {
        return y;
    }
    let mut turned = Vec::with_capacity(y.len());
    for row in 0..rows {
        turned.extend(y[row..].iter().step_by(rows));
    }
    turned
}
