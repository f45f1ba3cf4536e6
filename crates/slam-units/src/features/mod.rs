//! Feature extractors: samples in, frames out.

mod error;
mod extractor;
pub mod hubert;
mod mfcc;

use std::path::Path;

use burn::tensor::Device;
pub use slam_recipe::tokeniser::FeatureConfig;

pub use error::FeatureError;
pub(crate) use extractor::of_all;
pub use extractor::{FeatureExtractor, Frames};
pub use hubert::{Hubert, HubertFeatures};
pub use mfcc::{Mfcc, MfccConfig};
pub use slam_recipe::tokeniser::MfccError;

/// Makes the extractor. One with weights reads them from the folder `checkpoint`.
///
/// # Errors
/// If a parameter is out of its range, weights are needed and no checkpoint is given, or the
/// checkpoint cannot be used.
pub fn build(
    config: &FeatureConfig,
    checkpoint: Option<&Path>,
    device: &Device,
) -> Result<Box<dyn FeatureExtractor>, FeatureError> {
    match (config, checkpoint) {
        (FeatureConfig::Mfcc(mfcc), _) => Ok(Box::new(Mfcc::new(mfcc.clone())?)),
        (FeatureConfig::Hubert(features), Some(folder)) => {
            Ok(Box::new(Hubert::load(folder, features, device)?))
        }
        (FeatureConfig::Hubert(_), None) => Err(FeatureError::NoCheckpoint),
    }
}
