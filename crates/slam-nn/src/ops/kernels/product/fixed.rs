//! Matrix products with weights that are laid out once: the CPU's product for inference.
//!
//! A general product lays both operands out anew at every call, which for the few hundred rows of an utterance
//! costs. Here the weights lie in panels of as many outputs as two vector registers hold. The other operand's
//! rows may overlap: a convolution copies no windows. Each element is one chain of multiply-adds per block of
//! the inner size, whatever rows are computed with it: a row's result does not depend on the rows beside it,
//! nor on the threads.

use super::grid::Grid;
use super::manner::Threads;
use super::matrix::Matrix;
use super::scratch::{self, Aligned};
use super::tiles::{Tile, Tiles};
use crate::ops::kernels::activation::gelu_part;
use crate::ops::kernels::{Shared, written};
use rayon::prelude::*;
use std::ops::Range;

/// Outputs from which on a task lays its rows out for the tiles too. Fewer don't pay for it, least of all where
/// rows overlap as a positional convolution's do.
const MANY: usize = 256;
/// Inner elements taken at a time of rows that are read where they lie.
const INNER: usize = 768;

/// Weights `[outputs, inner]` in panels, and a bias.
#[derive(Debug)]
pub(in crate::ops) struct Panels {
    tiles: Tiles,
    /// Panel by panel: `inner` times the weights of each of its outputs. Of a last, partial panel the rest is 0.
    data: Aligned,
    inner: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
}

impl Panels {
    /// Lays out rows of `inner` weights, one row an output; `inner` is above 0.
    pub(in crate::ops) fn new(weight: &[f32], inner: usize, bias: Option<Vec<f32>>) -> Self {
        Self::with(Tiles::of_this_machine(), weight, inner, bias)
    }

    fn with(tiles: Tiles, weight: &[f32], inner: usize, bias: Option<Vec<f32>>) -> Self {
        let outputs = weight.len() / inner;
        let mut data = Aligned::zeros(outputs.next_multiple_of(tiles.columns()) * inner);
        tiles.pack_columns(Matrix::new(weight, outputs, inner, inner), data.values_mut());
        Self { tiles, data, inner, outputs, bias }
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
        let tiles = self.tiles;
        let panels = self.outputs.div_ceil(tiles.columns());
        let grid = Grid::new(tiles, rows, panels, Threads::All.count());
        // SAFETY: the tasks cover all rows and outputs, and no two have an element in common. Each writes its
        // whole part, as `inner` is above 0, before it looks at it; the rows lie within `x`, as was asserted.
        unsafe {
            written(rows * self.outputs, |y| {
                let y = Shared(y.as_mut_ptr().cast::<f32>());
                (0..grid.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
                    let (rows, panels) = grid.task(task);
                    let first = panels.start * tiles.columns();
                    let end = (panels.end * tiles.columns()).min(self.outputs);
                    self.task(x, stride, y, rows.clone(), panels);
                    for row in rows {
                        let y = std::slice::from_raw_parts_mut(
                            y.at(row * self.outputs + first).0,
                            end - first,
                        );
                        if let Some(bias) = &self.bias {
                            y.iter_mut().zip(&bias[first..]).for_each(|(y, b)| *y += b);
                        }
                        if gelu {
                            gelu_part(y);
                        }
                    }
                });
            })
        }
    }

    /// The products of some rows with some panels, block by block of the inner size.
    ///
    /// # Safety
    /// `y` must be valid for writes of these rows of `self.outputs` values, which nobody else touches
    /// meanwhile in the panels' columns, and the rows must lie within `x`.
    unsafe fn task(
        &self,
        x: &[f32],
        stride: usize,
        y: Shared,
        rows: Range<usize>,
        panels: Range<usize>,
    ) {
        let (tiles, inner) = (self.tiles, self.inner);
        let columns = tiles.columns();
        let many = self.outputs >= MANY;
        let depth = if many { tiles.depth(inner) } else { INNER };
        let length = if many { rows.len().next_multiple_of(tiles.rows()) * depth } else { 0 };
        scratch::rows(length, |laid_out| {
            for from in (0..inner).step_by(depth) {
                let to = (from + depth).min(inner);
                if many {
                    let lines = Matrix::new(x, rows.end, inner, stride);
                    tiles.pack_rows(lines.part(rows.start, rows.end, from, to), laid_out);
                }
                for panel in panels.clone() {
                    let output = panel * columns;
                    let tile = Tile {
                        inner: to - from,
                        stride,
                        y_stride: self.outputs,
                        columns: columns.min(self.outputs - output),
                        factor: 1.0,
                        add: from > 0,
                    };
                    // SAFETY: the panel of `output` begins there, with `columns` weights an inner element; the caller
                    // vouches for the rows of `y` and of `x`, which may also have been laid out just now.
                    unsafe {
                        let w = self.data.values().as_ptr().add(output * inner + from * columns);
                        let y = y.at(rows.start * self.outputs + output).0;
                        if many {
                            tiles.multiply::<true>(laid_out.as_ptr(), w, y, rows.len(), &tile);
                        } else {
                            let x = x.as_ptr().add(rows.start * stride + from);
                            tiles.multiply::<false>(x, w, y, rows.len(), &tile);
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::kernels::numbers;

    #[test]
    fn products_equal_sums_in_double_precision() {
        for (rows, inner, stride, outputs) in [
            (1, 1, 1, 1),
            (7, 10, 5, 33),
            (13, 48, 16, 48),
            (101, 800, 800, 20),
            (49, 800, 300, 290),
            (25, 1540, 7, 65),
        ] {
            let x = numbers((rows - 1) * stride + inner, 1);
            let weight = numbers(outputs * inner, 2);
            let bias = numbers(outputs, 3);
            for tiles in Tiles::known() {
                let w = Panels::with(tiles, &weight, inner, Some(bias.clone()));
                let y = w.times(&x, rows, stride, false);
                for (i, &y) in y.iter().enumerate() {
                    let (row, output) = (i / outputs, i % outputs);
                    let terms = x[row * stride..][..inner].iter().zip(&weight[output * inner..]);
                    let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let exact = sum + f64::from(bias[output]);
                    assert!((f64::from(y) - exact).abs() < 1e-4, "{tiles:?} {row} {output}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_in_any_company() {
        let (inner, rows) = (96, 211);
        for outputs in [80, 300] {
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
}
