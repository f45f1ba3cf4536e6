//! The arithmetic of the CPU kernels, on slices: no Burn types in here.
//!
//! Work is cut into pieces whose size depends on the shapes alone, and sums over pieces are added in
//! the order of the pieces, so the bytes of a result don't depend on the number of threads.

#[macro_use]
mod simd;
pub(super) mod activation;
pub(super) mod adamw;
pub(super) mod attention;
pub(super) mod nll;
pub(super) mod norm;
pub(super) mod product;
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

/// A pointer that tasks share, each reading and writing values of its own.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: holding the address does nothing; each read or write through it is an unsafe block of its own, which
// says why no other task has the same values.
unsafe impl Send for Shared {}
// SAFETY: as for `Send`: a shared address is no shared access.
unsafe impl Sync for Shared {}

impl Shared {
    /// The address `offset` values on.
    ///
    /// # Safety
    /// `offset` must lie within the allocation.
    unsafe fn at(self, offset: usize) -> Self {
        // SAFETY: the caller promises that the address lies within the allocation.
        Self(unsafe { self.0.add(offset) })
    }
}

/// Numbers between -1 and 1 that repeat late.
#[cfg(test)]
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}
