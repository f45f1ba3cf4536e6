//! The arithmetic of the CPU kernels, on slices: no Burn types in here.
//!
//! Work is cut into pieces whose size depends on the shapes alone, and sums over pieces are added in
//! the order of the pieces, so the bytes of a result don't depend on the number of threads.

#[macro_use]
mod simd;
pub(super) mod activation;
pub(super) mod adamw;
pub(super) mod attention;
pub(super) mod matrix;
pub(super) mod nll;
pub(super) mod norm;
pub(super) mod panels;
pub(super) mod rotary;

use std::mem::MaybeUninit;

/// Elements that one rayon task handles (64 KiB of f32).
pub(super) const TASK: usize = 16 * 1024;

/// Rows of `width` elements that make up one task.
fn rows_per_task(width: usize) -> usize {
    (TASK / width.max(1)).max(1)
}

/// A vector of `len` values that `write` puts in place, without the pass that zeroes it first.
///
/// # Safety
/// `write` must initialise every element.
unsafe fn written(len: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the caller promises that all `len` elements are initialised.
    unsafe { values.set_len(len) };
    values
}
