//! Memory for the operands of matrix products, kept by its thread: products follow each other closely, and of
//! much the same sizes.

use std::cell::Cell;
use std::thread::LocalKey;

/// A cache line: what tiles read must not straddle two.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Values that begin with a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    /// `len` zeros, rounded up to whole lines.
    pub(super) fn zeros(len: usize) -> Self {
        Self(vec![Line([0.0; 16]); len.div_ceil(16)])
    }

    pub(super) fn values(&self) -> &[f32] {
        // SAFETY: a line is 16 values and nothing else (64 bytes, aligned to 64), and all are initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 16) }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as of `values`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }
}

thread_local! {
    static ROWS: Cell<Aligned> = const { Cell::new(Aligned(Vec::new())) };
    static COLUMNS: Cell<Aligned> = const { Cell::new(Aligned(Vec::new())) };
}

/// Runs `work` with at least `len` values of any content. Work that a thread takes up while it waits within
/// `work` finds the memory taken, and gets its own.
fn with<R>(
    kept: &'static LocalKey<Cell<Aligned>>,
    len: usize,
    work: impl FnOnce(&mut [f32]) -> R,
) -> R {
    let mut memory = kept.take();
    if memory.values().len() < len {
        memory = Aligned::zeros(len);
    }
    let result = work(memory.values_mut());
    kept.set(memory);
    result
}

/// Memory for the rows of one task.
pub(super) fn rows<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    with(&ROWS, len, work)
}

/// Memory for the columns of a product.
pub(super) fn columns<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    with(&COLUMNS, len, work)
}
