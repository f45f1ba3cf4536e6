//! The general matrix product: blocks of both operands laid out for the tiles, which multiply them in the caches.
//!
//! The inner size is cut into blocks by itself alone, and an element is one chain of multiply-adds per block: its
//! bytes depend on its row and its column, not on the sizes of the operands, nor on the threads.

use super::grid::Grid;
use super::manner::{Into, Threads};
use super::matrix::Matrix;
use super::scratch;
use super::tiles::{Tile, Tiles};
use crate::ops::kernels::Shared;
use rayon::prelude::*;

/// Columns laid out at a time, at most: up to 12 MiB for a block of them.
const WIDE: usize = 8192;
/// Elements of a task that lays out columns.
const PACKED: usize = 32 * 1024;
/// Multiply-adds that are not worth waking a thread for.
const SMALL: usize = 1 << 19;

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub data: Shared,
    /// Distance of the rows.
    pub stride: usize,
    pub into: Into,
    pub factor: f32,
}

fn run(threads: Threads, tasks: usize, task: impl Fn(usize) + Send + Sync) {
    match threads {
        Threads::One => (0..tasks).for_each(task),
        Threads::All => (0..tasks).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// `target = factor * a b` (or `+=`).
///
/// # Safety
/// `target` must be valid for writes of all products, initialised for [`Into::Add`], and
/// nobody else may touch these values meanwhile.
pub(super) unsafe fn product(tiles: Tiles, target: Target, a: Matrix, b: Matrix, threads: Threads) {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    // A target without rows may have no memory at all, of which not even an address could be taken.
    if a.rows == 0 {
        return;
    }
    if a.cols == 0 {
        // SAFETY: the caller vouches for all products of the target.
        return unsafe { nothing(target, a.rows, b.cols) };
    }
    let threads = match a.rows * b.cols * a.cols {
        ..SMALL => Threads::One,
        _ => threads,
    };
    for first in (0..b.cols).step_by(WIDE) {
        let last = (first + WIDE).min(b.cols);
        // SAFETY: there is a row, and `first` lies within it; these are some of its columns, for all of which
        // the caller vouches.
        unsafe {
            let target = Target { data: target.data.at(first), ..target };
            let b = b.part(0, b.rows, first, last);
            product_of_few(tiles, target, a, b, threads);
        }
    }
}

/// [`product`] of an inner size of 0.
///
/// # Safety
/// As of [`product`].
unsafe fn nothing(target: Target, rows: usize, columns: usize) {
    if target.into == Into::Replace {
        for row in 0..rows {
            // SAFETY: the caller vouches for every row of the target; zero bytes are zeros.
            unsafe { target.data.at(row * target.stride).0.write_bytes(0, columns) };
        }
    }
}

/// [`product`] with at most [`WIDE`] columns.
///
/// # Safety
/// As of [`product`].
unsafe fn product_of_few(tiles: Tiles, target: Target, a: Matrix, b: Matrix, threads: Threads) {
    let (inner, wide) = (a.cols, tiles.columns());
    let depth = tiles.depth(inner).next_multiple_of(8);
    let blocks = inner.div_ceil(depth);
    let extent = |block: usize| (block * depth, ((block + 1) * depth).min(inner));
    let panels = b.cols.div_ceil(wide);
    let grid = Grid::new(tiles, a.rows, panels, threads.count());
    let group = (PACKED / (wide * depth)).max(1);
    let groups = panels.div_ceil(group);
    let length = panels * wide * depth;
    // One block is multiplied while the next is laid out.
    scratch::columns(length * blocks.min(2), |laid_out| {
        let laid_out = Shared(laid_out.as_mut_ptr());
        // SAFETY: the scratch memory has `length` values for each of two blocks, or of the only one.
        let place = |block: usize| unsafe { laid_out.at(block % 2 * length) };
        let pack = |block: usize, task: usize| {
            let (from, to) = extent(block);
            let (first, last) = (task * group, ((task + 1) * group).min(panels));
            let lines = b.part(from, to, first * wide, (last * wide).min(b.cols)).transposed();
            let size = wide * (to - from);
            // SAFETY: the panels `first..last` lie within the block's place. No two tasks of a block have one in
            // common, and products are made of the other block meanwhile.
            let panels = unsafe {
                let start = place(block).at(first * size).0;
                std::slice::from_raw_parts_mut(start, (last - first) * size)
            };
            tiles.pack_columns(lines, panels);
        };
        let multiply = |block: usize, task: usize| {
            let (from, to) = extent(block);
            let (of_rows, of_panels) = grid.task(task);
            let depth = to - from;
            scratch::rows(of_rows.len().next_multiple_of(tiles.rows()) * depth, |x| {
                tiles.pack_rows(a.part(of_rows.start, of_rows.end, from, to), x);
                for panel in of_panels {
                    let column = panel * wide;
                    let tile = Tile {
                        inner: depth,
                        stride: 0,
                        y_stride: target.stride,
                        columns: wide.min(b.cols - column),
                        factor: target.factor,
                        add: block > 0 || target.into == Into::Add,
                    };
                    // SAFETY: the rows were laid out just now, and the panel in the step before, all of
                    // whose tasks have ended. The caller vouches for the target; no two tasks of a block
                    // have an element of it in common. A later block adds to what the first wrote.
                    unsafe {
                        let w = place(block).at(column * depth).0;
                        let y = target.data.at(of_rows.start * target.stride + column).0;
                        tiles.multiply::<true>(x.as_ptr(), w, y, of_rows.len(), &tile);
                    }
                }
            });
        };
        for step in 0..=blocks {
            let packs = if step < blocks { groups } else { 0 };
            let products = if step > 0 { grid.tasks() } else { 0 };
            run(threads, packs + products, |task| match task.checked_sub(packs) {
                Some(task) => multiply(step - 1, task),
                None => pack(step, task),
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::kernels::numbers;

    /// A strided operand: `count` lines, transposed or not.
    fn lines(data: &[f32], count: usize, inner: usize, transposed: bool) -> Matrix<'_> {
        if transposed {
            Matrix::strided(data, count, inner, 1, count)
        } else {
            Matrix::strided(data, count, inner, inner, 1)
        }
    }

    fn value(
        data: &[f32],
        lines: usize,
        inner: usize,
        transposed: bool,
        line: usize,
        at: usize,
    ) -> f64 {
        f64::from(if transposed { data[at * lines + line] } else { data[line * inner + at] })
    }

    #[test]
    fn products_equal_sums_in_double_precision() {
        for (m, k, n) in [
            (1, 1, 1),
            (5, 0, 9),
            (0, 3, 8200),
            (7, 10, 33),
            (50, 400, 17),
            (131, 800, 70),
            (64, 64, 300),
            (3, 1200, 8200),
        ] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            for tiles in Tiles::known() {
                for (turned, into, factor) in [
                    (0, Into::Replace, 1.0),
                    (1, Into::Add, 0.5),
                    (2, Into::Replace, -2.0),
                    (3, Into::Add, 1.0),
                ] {
                    let (ta, tb) = (turned & 1 > 0, turned & 2 > 0);
                    let stride = n + turned;
                    let mut y = vec![3.0; m * stride];
                    let target = Target { data: Shared(y.as_mut_ptr()), stride, into, factor };
                    let (x, w) = (lines(&a, m, k, ta), lines(&b, n, k, tb).transposed());
                    // SAFETY: y has `m` rows of `stride` values, at least `n`, and is this test's alone.
                    unsafe { product(tiles, target, x, w, Threads::All) };
                    for i in (0..m).step_by(1 + m / 9) {
                        for j in 0..stride {
                            let terms = (0..k).map(|at| {
                                value(&a, m, k, ta, i, at) * value(&b, n, k, tb, j.min(n - 1), at)
                            });
                            let before = if into == Into::Add || j >= n { 3.0 } else { 0.0 };
                            let sum = if j < n { terms.sum::<f64>() } else { 0.0 };
                            let exact = before + f64::from(factor) * sum;
                            let got = f64::from(y[i * stride + j]);
                            assert!(
                                (got - exact).abs() < 2e-4,
                                "{tiles:?} {m} {k} {n}: {got}, not {exact}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_element_is_the_same_in_any_company_and_on_any_threads() {
        let (m, k, n) = (203, 800, 530);
        let (a, b) = (numbers(m * k, 3), numbers(n * k, 4));
        let run =
            |tiles, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, threads| {
                let (height, width) = (rows.len(), columns.len());
                let mut y = vec![f32::NAN; height * width];
                let target = Target {
                    data: Shared(y.as_mut_ptr()),
                    stride: width,
                    into: Into::Replace,
                    factor: 1.0,
                };
                let x = lines(&a, m, k, false).part(rows.start, rows.end, 0, k);
                let w = lines(&b, n, k, false).part(columns.start, columns.end, 0, k);
                let w = w.transposed();
                // SAFETY: y has a place for each product, and is this call's alone.
                unsafe { product(tiles, target, x, w, threads) };
                y
            };
        for tiles in Tiles::known() {
            let all = run(tiles, 0..m, 0..n, Threads::All);
            assert_eq!(all, run(tiles, 0..m, 0..n, Threads::One));
            let part = run(tiles, 5..64, 37..501, Threads::All);
            for (row, part) in part.chunks(464).enumerate() {
                assert_eq!(part, &all[(row + 5) * n + 37..][..464]);
            }
        }
    }
}
