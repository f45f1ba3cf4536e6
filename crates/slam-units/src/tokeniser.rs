//! A tokeniser: feature extractor, centroids and what identifies them together.

use std::path::PathBuf;

use burn::tensor::Device;
use slam_dataset::schema::TokeniserInfo;
use slam_recipe::Key;

use crate::features::{self, FeatureConfig, FeatureError, FeatureExtractor, of_all};
use crate::kmeans::KMeans;

/// Samples a second of every corpus.
const RATE_HZ: f64 = 16_000.0;

/// A feature extractor's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The folder.
    pub folder: PathBuf,
    /// What its files hold, in the order of their names.
    pub keys: Vec<Key>,
}

/// A tokeniser that cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum TokeniserError {
    /// The feature extractor cannot be made.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// Centroids of other features.
    #[error("frames have {frame} values and centroids {centroid}; fit centroids on these features")]
    Size {
        /// Values of a frame.
        frame: usize,
        /// Values of a centroid.
        centroid: usize,
    },
    /// Parameters of the features that JSON cannot hold, so that they cannot be named.
    #[error("the features' parameters are no JSON: {0}")]
    Params(#[from] serde_json::Error),
}

/// Turns samples into units.
pub struct Tokeniser {
    extractor: Box<dyn FeatureExtractor>,
    kmeans: KMeans,
    info: TokeniserInfo,
}

impl Tokeniser {
    /// Puts a tokeniser together.
    ///
    /// # Errors
    /// If the features' parameters are out of range, the checkpoint cannot be used, or the size of a frame is
    /// not the centroids'.
    pub fn new(
        name: &str,
        features: &FeatureConfig,
        checkpoint: Option<&Checkpoint>,
        kmeans: KMeans,
        device: &Device,
    ) -> Result<Self, TokeniserError> {
        let folder = checkpoint.map(|c| c.folder.as_path());
        let extractor = features::build(features, folder, device)?;
        let (frame, centroid) = (extractor.dim(), kmeans.dim());
        if frame != centroid {
            return Err(TokeniserError::Size { frame, centroid });
        }
        let params = serde_json::to_value(features)?;
        // The centroids count by their values: however they were fitted, and in whatever file they are.
        let centroids = kmeans.key();
        let info = TokeniserInfo {
            identity: Key::of_work(
                "tokeniser",
                2,
                &params,
                std::iter::once(&centroids).chain(checkpoint.iter().flat_map(|c| &c.keys)),
            ),
            name: name.to_owned(),
            layer: extractor.layer(),
            k: kmeans.k() as u32,
            units_per_second: RATE_HZ / extractor.hop() as f64,
        };
        Ok(Self { extractor, kmeans, info })
    }

    /// What identifies it.
    pub fn info(&self) -> &TokeniserInfo {
        &self.info
    }

    /// Units and durations (frames) of utterances at 16 kHz: each a function of its samples alone.
    pub fn units(&self, utterances: &[&[f32]]) -> Vec<(Vec<u16>, Vec<u16>)> {
        of_all(&*self.extractor, utterances, |samples| {
            let mut labels = Vec::new();
            self.extractor
                .for_each_part(samples, &mut |frames| labels.extend(self.kmeans.assign(frames)));
            run_lengths(&labels)
        })
    }
}

/// Runs of equal labels as units and durations; a run longer than a duration can say becomes several.
pub fn run_lengths(labels: &[u16]) -> (Vec<u16>, Vec<u16>) {
    let (mut units, mut durations): (Vec<u16>, Vec<u16>) = (Vec::new(), Vec::new());
    for &label in labels {
        match (units.last(), durations.last_mut()) {
            (Some(&unit), Some(duration)) if unit == label && *duration < u16::MAX => {
                *duration += 1;
            }
            _ => {
                units.push(label);
                durations.push(1);
            }
        }
    }
    (units, durations)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::features::MfccConfig;
    use crate::kmeans::KMeansConfig;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_expand_to_the_labels(labels in prop::collection::vec(0u16..4, 0..300)) {
            let (units, durations) = run_lengths(&labels);
            let back: Vec<u16> = units.iter().zip(&durations)
                .flat_map(|(&u, &d)| std::iter::repeat_n(u, usize::from(d))).collect();
            prop_assert_eq!(back, labels);
            prop_assert!(units.windows(2).all(|w| w[0] != w[1]));
        }
    }

    #[test]
    fn centroids_of_other_features_are_refused_with_both_sizes() {
        let frames: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let config = KMeansConfig { k: 2, ..KMeansConfig::default() };
        let kmeans = KMeans::fit(&frames, 2, &config, &Device::flex()).unwrap();
        let features = FeatureConfig::Mfcc(MfccConfig::default());
        let made = Tokeniser::new("t", &features, None, kmeans.clone(), &Device::flex());
        let sizes = made.err().and_then(|e| match e {
            TokeniserError::Size { frame, centroid } => Some((frame, centroid)),
            _ => None,
        });
        assert_eq!(sizes, Some((39, 2)));
        let hubert: FeatureConfig =
            serde_json::from_value(serde_json::json!({"kind": "hubert", "layer": 1})).unwrap();
        let made = Tokeniser::new("t", &hubert, None, kmeans, &Device::flex());
        assert!(matches!(made.err(), Some(TokeniserError::Features(FeatureError::NoCheckpoint))));
    }

    #[test]
    fn a_run_longer_than_a_duration_can_say_is_cut() {
        let (units, durations) = run_lengths(&vec![7; 65_536]);
        assert_eq!((units, durations), (vec![7, 7], vec![65_535, 1]));
    }
}
