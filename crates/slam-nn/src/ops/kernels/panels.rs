//! Matrix products with weights that are laid out once: the CPU's product for inference.
//!
//! A general product lays both operands out anew at every call, which for the few hundred rows of an
//! utterance is a large part of its time. Here the weights lie in panels of as many outputs as two vector
//! registers hold, and the other operand is read where it lies, so that its rows may overlap: a convolution
//! copies no windows. Each element is one chain of multiply-adds per block of the inner size, whatever rows
//! are computed with it: a row's result does not depend on the rows beside it, nor on the threads.

use super::activation::gelu_part;
use super::matrix::{Into, Matrix, all_threads, product};
use super::written;
use rayon::prelude::*;

/// Inner elements taken at a time: a block of rows and a panel of weights stay in the second-level cache.
const INNER: usize = 768;
/// Rows of a task: a multiple of every instruction set's rows of a tile.
const ROWS: usize = 96;
/// Outputs of a task, about.
const OUTPUTS: usize = 128;

/// The instructions that a product is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Those of the general product.
    Portable,
}

impl Instructions {
    fn of_this_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Outputs of a panel.
    fn columns(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::COLUMNS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::COLUMNS,
            Self::Portable => 1,
        }
    }
}

/// Weights `[outputs, inner]` in panels, and a bias.
#[derive(Debug)]
pub(in crate::ops) struct Panels {
    instructions: Instructions,
    /// Panel by panel: `inner` times the weights of each of its outputs. Of a last, partial panel the rest is 0.
    data: Vec<f32>,
    inner: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
}

impl Panels {
    /// Lays out rows of `inner` weights, one row an output; `inner` is above 0.
    pub(in crate::ops) fn new(weight: &[f32], inner: usize, bias: Option<Vec<f32>>) -> Self {
        Self::with(Instructions::of_this_machine(), weight, inner, bias)
    }

    fn with(
        instructions: Instructions,
        weight: &[f32],
        inner: usize,
        bias: Option<Vec<f32>>,
    ) -> Self {
        let outputs = weight.len() / inner;
        let columns = instructions.columns();
        let mut data = vec![0.0; outputs.next_multiple_of(columns) * inner];
        for (panel, rows) in
            data.chunks_exact_mut(columns * inner).zip(weight.chunks(columns * inner))
        {
            for (column, row) in rows.chunks_exact(inner).enumerate() {
                for (at, &w) in row.iter().enumerate() {
                    panel[at * columns + column] = w;
                }
            }
        }
        Self { instructions, data, inner, outputs, bias }
    }

    /// Weights of an output.
    pub(in crate::ops) fn inner(&self) -> usize {
        self.inner
    }

    /// How many outputs there are.
    pub(in crate::ops) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The product of `rows` rows of `x`, `stride` apart, with every output's weights, and the bias; passed
    /// through GELU where `gelu`. The result has dense rows.
    pub(in crate::ops) fn times(
        &self,
        x: &[f32],
        rows: usize,
        stride: usize,
        gelu: bool,
    ) -> Vec<f32> {
        assert!(rows == 0 || (rows - 1) * stride + self.inner <= x.len(), "rows beyond the input");
        if self.instructions == Instructions::Portable {
            return self.general(x, rows, stride, gelu);
        }
        let columns = self.instructions.columns();
        let group = (OUTPUTS / columns).max(1) * columns;
        let groups = self.outputs.div_ceil(group);
        let tasks = rows.div_ceil(ROWS) * groups;
        // SAFETY: the tasks cover all rows and outputs, and each writes its whole part.
        unsafe {
            written(rows * self.outputs, |y| {
                let y = Shared(y.as_mut_ptr().cast::<f32>());
                (0..tasks).into_par_iter().for_each(|task| {
                    let (first, output) = (task / groups * ROWS, task % groups * group);
                    let block = Block {
                        first,
                        last: (first + ROWS).min(rows),
                        output,
                        end: (output + group).min(self.outputs),
                    };
                    // No two blocks share an element; the rows lie within `x`, as was checked.
                    self.block(x, stride, y.get(), &block);
                    for row in block.first..block.last {
                        // `block` wrote these elements, and no other task touches them.
                        let y = std::slice::from_raw_parts_mut(
                            y.get().add(row * self.outputs + block.output),
                            block.end - block.output,
                        );
                        if let Some(bias) = &self.bias {
                            y.iter_mut().zip(&bias[block.output..]).for_each(|(y, b)| *y += b);
                        }
                        if gelu {
                            gelu_part(y);
                        }
                    }
                });
            })
        }
    }

    /// The products of a block, block by block of the inner size.
    ///
    /// # Safety
    /// `y` must be valid for writes of the block's rows of `self.outputs` values, which nobody else touches
    /// meanwhile, and the block's rows must lie within `x`.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    unsafe fn block(&self, x: &[f32], stride: usize, y: *mut f32, block: &Block) {
        let columns = self.instructions.columns();
        for from in (0..self.inner).step_by(INNER) {
            let inner = INNER.min(self.inner - from);
            for output in (block.output..block.end).step_by(columns) {
                let tile = Tile {
                    inner,
                    stride,
                    y_stride: self.outputs,
                    columns: columns.min(block.end - output),
                    add: from > 0,
                };
                let rows = block.last - block.first;
                // SAFETY: all are within their slices; the instructions were detected.
                unsafe {
                    let x = x.as_ptr().add(block.first * stride + from);
                    let w = self.data.as_ptr().add(output * self.inner + from * columns);
                    let y = y.add(block.first * self.outputs + output);
                    match self.instructions {
                        #[cfg(target_arch = "x86_64")]
                        Instructions::Avx512 => avx512::rows(x, w, y, rows, &tile),
                        #[cfg(target_arch = "x86_64")]
                        Instructions::Avx2 => avx2::rows(x, w, y, rows, &tile),
                        Instructions::Portable => {}
                    }
                }
            }
        }
    }

    /// The same by the general product; panels of one output are rows.
    fn general(&self, x: &[f32], rows: usize, stride: usize, gelu: bool) -> Vec<f32> {
        let x = Matrix::new(x, rows, self.inner, stride);
        let w = Matrix::new(&self.data, self.outputs, self.inner, self.inner).transposed();
        // SAFETY: the inner size is above 0, so the product writes all values.
        let mut y = unsafe {
            written(rows * self.outputs, |y| {
                let y = y.as_mut_ptr().cast();
                product(y, self.outputs, Into::Replace, 1.0, x, w, all_threads());
            })
        };
        if let Some(bias) = &self.bias {
            super::matrix::add_bias(&mut y, bias);
        }
        if gelu {
            super::activation::gelu_in_place(&mut y);
        }
        y
    }
}

/// Rows `first..last` and outputs `output..end` of a product.
struct Block {
    first: usize,
    last: usize,
    output: usize,
    end: usize,
}

/// A result that several tasks write to, each its own part.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

impl Shared {
    fn get(self) -> *mut f32 {
        self.0
    }
}

// SAFETY: whoever uses the pointer vouches for it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Sizes of the products of some rows with one panel.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
struct Tile {
    /// Inner elements.
    inner: usize,
    /// Distance of the rows of `x`.
    stride: usize,
    /// Distance of the rows of `y`.
    y_stride: usize,
    /// Outputs of the panel that there are.
    columns: usize,
    /// Whether the products are added to what is there.
    add: bool,
}

/// Tiles of two vector registers by as many rows as leave registers for the operands.
#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    (
        $name:ident, $features:literal, $width:literal, $rows:literal,
        $zero:ident, $load:ident, $store:ident, $spread:ident, $add:ident, $multiply_add:ident
    ) => {
        mod $name {
            use super::Tile;
            use std::arch::x86_64::*;

            /// Outputs of a panel.
            pub(super) const COLUMNS: usize = 2 * $width;

            /// The products of rows with a panel.
            ///
            /// # Safety
            /// The pointers must be valid for the tile's sizes, and the machine must have the instructions.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn rows(
                mut x: *const f32,
                w: *const f32,
                mut y: *mut f32,
                rows: usize,
                t: &Tile,
            ) {
                let mut left = rows;
                while left > 0 {
                    let done = match left {
                        $rows.. => {
                            // SAFETY: passed on.
                            unsafe { tile::<$rows>(x, w, y, t) };
                            $rows
                        }
                        4.. => {
                            // SAFETY: passed on.
                            unsafe { tile::<4>(x, w, y, t) };
                            4
                        }
                        2.. => {
                            // SAFETY: passed on.
                            unsafe { tile::<2>(x, w, y, t) };
                            2
                        }
                        _ => {
                            // SAFETY: passed on.
                            unsafe { tile::<1>(x, w, y, t) };
                            1
                        }
                    };
                    left -= done;
                    x = x.wrapping_add(done * t.stride);
                    y = y.wrapping_add(done * t.y_stride);
                }
            }

            /// The products of `R` rows with a panel.
            ///
            /// # Safety
            /// As of [`rows`].
            #[target_feature(enable = $features)]
            unsafe fn tile<const R: usize>(x: *const f32, w: *const f32, y: *mut f32, t: &Tile) {
                let mut sums = [[$zero(); 2]; R];
                for at in 0..t.inner {
                    // SAFETY: a panel has `COLUMNS` weights for every inner element.
                    let w = unsafe {
                        let w = w.add(at * COLUMNS);
                        [$load(w), $load(w.add($width))]
                    };
                    for (row, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the row lies within `x`.
                        let x = $spread(unsafe { *x.add(row * t.stride + at) });
                        sum[0] = $multiply_add(x, w[0], sum[0]);
                        sum[1] = $multiply_add(x, w[1], sum[1]);
                    }
                }
                if t.columns == COLUMNS {
                    for (row, sum) in sums.iter().enumerate() {
                        for (half, &sum) in sum.iter().enumerate() {
                            // SAFETY: the whole panel's outputs lie within the row of `y`.
                            unsafe {
                                let y = y.add(row * t.y_stride + half * $width);
                                $store(y, if t.add { $add($load(y), sum) } else { sum });
                            }
                        }
                    }
                    return;
                }
                let mut values = [0.0f32; COLUMNS];
                for (row, sum) in sums.iter().enumerate() {
                    // SAFETY: there is room for two registers.
                    unsafe {
                        $store(values.as_mut_ptr(), sum[0]);
                        $store(values.as_mut_ptr().add($width), sum[1]);
                    }
                    for (column, &value) in values[..t.columns].iter().enumerate() {
                        // SAFETY: so many outputs are left in the row of `y`.
                        unsafe {
                            let y = y.add(row * t.y_stride + column);
                            y.write(if t.add { y.read() + value } else { value });
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(
    avx2,
    "avx2,fma",
    8,
    6,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
tiles!(
    avx512,
    "avx512f",
    16,
    12,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_fmadd_ps
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 that repeat late.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn known() -> Vec<Instructions> {
        let mut all = vec![Instructions::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") {
                all.push(Instructions::Avx2);
            }
            if std::arch::is_x86_feature_detected!("avx512f") {
                all.push(Instructions::Avx512);
            }
        }
        all
    }

    #[test]
    fn products_equal_sums_in_double_precision() {
        for (rows, inner, stride, outputs) in
            [(1, 1, 1, 1), (7, 10, 5, 33), (13, 48, 16, 48), (101, 800, 800, 20), (25, 1540, 7, 65)]
        {
            let x = numbers((rows - 1) * stride + inner, 1);
            let weight = numbers(outputs * inner, 2);
            let bias = numbers(outputs, 3);
            for instructions in known() {
                let w = Panels::with(instructions, &weight, inner, Some(bias.clone()));
                let y = w.times(&x, rows, stride, false);
                for (i, &y) in y.iter().enumerate() {
                    let (row, output) = (i / outputs, i % outputs);
                    let terms = x[row * stride..][..inner].iter().zip(&weight[output * inner..]);
                    let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let exact = sum + f64::from(bias[output]);
                    assert!((f64::from(y) - exact).abs() < 1e-4, "{instructions:?} {row} {output}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_in_any_company() {
        let (inner, outputs, rows) = (96, 80, 211);
        let x = numbers(rows * inner, 4);
        let w = Panels::new(&numbers(outputs * inner, 5), inner, None);
        let all = w.times(&x, rows, inner, true);
        for first in [0, 5, 100, 210] {
            for count in [1, 2, 3, 7, 100] {
                let count = count.min(rows - first);
                let part = w.times(&x[first * inner..], count, inner, true);
                assert_eq!(part, all[first * outputs..(first + count) * outputs]);
            }
        }
    }
}
