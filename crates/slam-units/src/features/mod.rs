//! Feature extractors: samples in, frames out.

mod error;
mod extractor;
pub mod hubert;
mod mfcc;

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub use error::{FeatureError, MfccError};
pub(crate) use extractor::of_all;
pub use extractor::{FeatureExtractor, Frames};
pub use hubert::{Hubert, HubertFeatures};
pub use mfcc::{Mfcc, MfccConfig};

/// Which feature extractor, with its parameters: part of a tokeniser's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeatureConfig {
    /// Mel-frequency cepstral coefficients.
    Mfcc(MfccConfig),
    /// A HuBERT encoder's hidden states.
    Hubert(HubertFeatures),
}

impl FeatureConfig {
    /// Makes the extractor. One with weights reads them from the folder `checkpoint`.
    ///
    /// # Errors
    /// If a parameter is out of its range, weights are needed and no checkpoint is given, or the
    /// checkpoint cannot be used.
    pub fn build(
        &self,
        checkpoint: Option<&Path>,
        device: &Device,
    ) -> Result<Box<dyn FeatureExtractor>, FeatureError> {
        match (self, checkpoint) {
            (Self::Mfcc(config), _) => Ok(Box::new(Mfcc::new(config.clone())?)),
            (Self::Hubert(features), Some(folder)) => {
                Ok(Box::new(Hubert::load(folder, features, device)?))
            }
            (Self::Hubert(_), None) => Err(FeatureError::NoCheckpoint),
        }
    }
}
