//! Matrices that lie in slices.

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
