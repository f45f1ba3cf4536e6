//! An operand of a matrix product as lines of equal distance.

/// Rows of a left operand, or columns of a right one: what the tiles take several of.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub data: &'a [f32],
    /// How many.
    pub count: usize,
    /// Elements of each.
    pub inner: usize,
    /// Distance of a line's first element from the one's before.
    pub stride: usize,
    /// Distance of a line's elements.
    pub step: usize,
}

impl<'a> Lines<'a> {
    /// # Panics
    /// If `data` ends before the last line does.
    pub(super) fn new(
        data: &'a [f32],
        count: usize,
        inner: usize,
        stride: usize,
        step: usize,
    ) -> Self {
        let last = |n: usize, by: usize| n.saturating_sub(1) * by;
        let fits = last(count, stride) + last(inner, step) < data.len();
        assert!(count == 0 || inner == 0 || fits, "lines beyond the data");
        Self { data, count, inner, stride, step }
    }

    /// Lines `first..last`, of each the elements `from..to`.
    pub(super) fn part(self, first: usize, last: usize, from: usize, to: usize) -> Self {
        let start = (first * self.stride + from * self.step).min(self.data.len());
        Self::new(&self.data[start..], last - first, to - from, self.stride, self.step)
    }
}
