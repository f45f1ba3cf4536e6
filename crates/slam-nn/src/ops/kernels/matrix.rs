//! Matrix products over strided slices.

use super::product::{self, Target};
use super::simd::{sum_of_four, sum2};
use super::tiles::Tiles;
use super::{Shared, written};
use rayon::prelude::*;

/// A strided matrix in a slice.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `cols`, `stride` apart, from the start of `data`.
    pub(in crate::ops) fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(rows == 0 || cols == 0 || (rows - 1) * stride + cols <= data.len());
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// Rows and columns at any distances.
    ///
    /// # Panics
    /// If `data` ends before the last element.
    pub(super) fn strided(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let last = |n: usize, by: usize| n.saturating_sub(1) * by;
        let fits = last(rows, row_stride) + last(cols, col_stride) < data.len();
        assert!(rows == 0 || cols == 0 || fits, "a matrix beyond its data");
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// Rows `first..last`, of each the elements `from..to`.
    pub(super) fn part(self, first: usize, last: usize, from: usize, to: usize) -> Self {
        let start = (first * self.row_stride + from * self.col_stride).min(self.data.len());
        let data = &self.data[start..];
        Self::strided(data, last - first, to - from, self.row_stride, self.col_stride)
    }

    /// Rows and columns exchanged, without a copy.
    pub(in crate::ops) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a product replaces or is added to what it is written into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Into {
    /// `dst = factor * a b`
    Replace,
    /// `dst += factor * a b`
    Add,
}

/// The threads that share a product. The sum of an element is never split over them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Threads {
    /// The calling one.
    One,
    /// All of the current rayon pool.
    All,
}

impl Threads {
    /// How many there are.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => rayon::current_num_threads(),
        }
    }
}

/// `dst = factor * a b` (or `+=`), rows of `dst` being `stride` apart.
///
/// # Safety
/// `dst` must be valid for writes of `a.rows` rows of `b.cols` values, initialised for
/// [`Into::Add`], and nobody else may touch these values meanwhile.
pub(in crate::ops) unsafe fn product(
    dst: *mut f32,
    stride: usize,
    into: Into,
    factor: f32,
    a: Matrix,
    b: Matrix,
    threads: Threads,
) {
    let target = Target { data: Shared(dst), stride, into, factor };
    // SAFETY: passed on.
    unsafe { product::product(Tiles::of_this_machine(), target, a, b, threads) };
}

/// [`product`] into a dense slice.
pub(in crate::ops) fn product_into(
    dst: &mut [f32],
    into: Into,
    factor: f32,
    a: Matrix,
    b: Matrix,
    threads: Threads,
) {
    assert!(dst.len() >= a.rows * b.cols);
    // SAFETY: the slice is long enough, initialised, and exclusively ours.
    unsafe { product(dst.as_mut_ptr(), b.cols, into, factor, a, b, threads) }
}

/// `a b`, dense, on all threads.
pub(in crate::ops) fn multiply(a: Matrix, b: Matrix) -> Vec<f32> {
    if a.cols == 0 {
        return vec![0.0; a.rows * b.cols];
    }
    // SAFETY: with an inner size above 0 the product writes all `rows * cols` values.
    unsafe {
        written(a.rows * b.cols, |dst| {
            product(dst.as_mut_ptr().cast(), b.cols, Into::Replace, 1.0, a, b, Threads::All);
        })
    }
}

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
    let piece = 4 * super::rows_per_task(inner);
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

/// Adds a bias of `bias.len()` to every row of `y`.
pub(in crate::ops) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let rows = super::rows_per_task(bias.len());
    if bias.is_empty() {
        return;
    }
    y.par_chunks_mut(rows * bias.len()).for_each(|y| {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    });
}
