//! Features that cannot be made.

use slam_recipe::tokeniser::MfccError;

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
