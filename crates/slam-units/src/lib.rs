#![doc = include_str!("../README.md")]

pub mod features;
pub mod import;
pub mod kmeans;
mod lanes;
mod prefetch;
pub mod slamkit;
mod stages;
mod tokeniser;

pub use prefetch::prefetch;
pub use stages::{UnitsError, fit_kmeans, unitise};
pub use tokeniser::{Checkpoint, Tokeniser, TokeniserError, run_lengths};
