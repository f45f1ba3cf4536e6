//! How a product is written, and by how many threads.

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
