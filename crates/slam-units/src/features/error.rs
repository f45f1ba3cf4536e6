//! Features that cannot be made.

use super::hubert::HubertError;

/// A feature extractor that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// A parameter of MFCC is out of its range.
    #[error(transparent)]
    Mfcc(#[from] MfccError),
    /// A HuBERT that cannot be loaded.
    #[error(transparent)]
    Hubert(#[from] HubertError),
    /// Features with weights, and none are given.
    #[error(
        "hubert needs weights: name the folder of its checkpoint (a pipeline's tokeniser.checkpoint)"
    )]
    NoCheckpoint,
}

/// A parameter of [`Mfcc`](super::Mfcc) that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MfccError {
    /// Samples between unit frames.
    #[error("mfcc.hop is {hop}: must be a multiple of {unit} samples, at most 16,000")]
    Hop {
        /// What was asked for.
        hop: usize,
        /// Samples between fine frames.
        unit: usize,
    },
    /// Mel filters.
    #[error("mfcc.filters is {0}: must be 2 to 128")]
    Filters(usize),
    /// Coefficients that are kept.
    #[error("mfcc.coefficients is {coefficients}: must be 1 to mfcc.filters, which is {filters}")]
    Coefficients {
        /// What was asked for.
        coefficients: usize,
        /// Mel filters.
        filters: usize,
    },
    /// Orders of deltas.
    #[error("mfcc.deltas is {0}: must be 0, 1 or 2")]
    Deltas(usize),
    /// Means of a unit frame.
    #[error("mfcc.slices is {slices}: must divide the {fine} fine frames of a unit frame")]
    Slices {
        /// What was asked for.
        slices: usize,
        /// Fine frames of a unit frame.
        fine: usize,
    },
}
