//! Matrix products.
//!
//! [`product`] multiplies any two matrices, [`fixed`] inputs with weights that were laid out once, and [`few_rows`]
//! a few rows with a weight as it lies. The first two lay their operands out ([`pack`], in memory of [`scratch`]) for
//! the [`tiles`] of the machine, and deal these out to threads by one [`grid`].

mod blocked;
pub(in crate::ops) mod few_rows;
pub(in crate::ops) mod fixed;
mod grid;
mod manner;
mod matrix;
mod pack;
mod scratch;
mod tiles;

pub(in crate::ops) use manner::{Into, Threads};
pub(in crate::ops) use matrix::Matrix;

use super::{Shared, rows_per_task, written};
use blocked::Target;
use rayon::prelude::*;
use tiles::Tiles;

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
    // SAFETY: the caller vouches for the target.
    unsafe { blocked::product(Tiles::of_this_machine(), target, a, b, threads) };
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
    // SAFETY: the slice has all rows, as was asserted; it is initialised, and borrowed for this call alone.
    unsafe { product(dst.as_mut_ptr(), b.cols, into, factor, a, b, threads) }
}

/// `a b`, dense, on all threads.
pub(in crate::ops) fn multiply(a: Matrix, b: Matrix) -> Vec<f32> {
    // SAFETY: the target has `rows * cols` values, and replacing writes each of them: zeros where the inner size
    // is 0.
    unsafe {
        written(a.rows * b.cols, |dst| {
            product(dst.as_mut_ptr().cast(), b.cols, Into::Replace, 1.0, a, b, Threads::All);
        })
    }
}

/// Adds a bias of `bias.len()` to every row of `y`.
pub(in crate::ops) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let rows = rows_per_task(bias.len());
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
