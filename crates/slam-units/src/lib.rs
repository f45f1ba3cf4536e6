//! Speech units: feature extractors, k-means and run-length deduplication (stages: fit-kmeans, unitise).
//!
//! A [`features::FeatureExtractor`] turns samples into frames; [`kmeans::KMeans`] gives each frame the
//! number of its nearest centroid; runs of equal numbers become one unit and its duration. The
//! [`Tokeniser`] is all of it together and has an identity that every unit shard carries.

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
