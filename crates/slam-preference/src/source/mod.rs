//! The sources of pairs.

mod cut;
mod input;
mod lines;
mod own;
mod sampled;
mod segments;
#[cfg(test)]
mod tests;

pub use cut::CutError;

pub(crate) use lines::slamkit;
pub(crate) use own::own_continuation;
pub(crate) use sampled::sampled;
pub(crate) use segments::segments;
