//! What turns speech into units.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

/// What turns speech into units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokeniser {
    /// The folder's name under a dataset's unit stage.
    pub name: String,
    /// The feature extractor and its parameters.
    pub features: FeatureConfig,
    /// The folder of the feature extractor's weights, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// A file of centroids (safetensors, `.npy`, or scikit-learn's by joblib), where they are not fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centroids: Option<PathBuf>,
    /// How to fit k-means where no centroids are given.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kmeans: KMeansConfig,
    /// The dataset k-means is fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_on: Option<String>,
    /// How many of its shards, from the first.
    #[serde(default = "one")]
    pub fit_shards: u32,
    /// Where its files come from, for messages and to check them.
    #[serde(default)]
    pub origin: Origin,
}

fn one() -> u32 {
    1
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Where a tokeniser's files come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// The repository of the weights on the Hugging Face hub.
    pub hub: Option<String>,
    /// Where the centroids can be downloaded.
    pub centroids_url: Option<String>,
    /// SHA-256 of the file of centroids, in hexadecimal digits.
    pub centroids_sha256: Option<String>,
}

/// Which feature extractor, with its parameters: part of a tokeniser's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeatureConfig {
    /// Mel-frequency cepstral coefficients.
    Mfcc(MfccConfig),
    /// A HuBERT encoder's hidden states.
    Hubert(HubertFeatures),
}

/// Parameters of MFCC features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MfccConfig {
    /// Samples between unit frames, a multiple of 160; 640 gives 25 a second.
    pub hop: usize,
    /// Triangular mel filters between 20 Hz and 7.6 kHz.
    pub filters: usize,
    /// Cepstral coefficients kept, with the zeroth, which is the energy.
    pub coefficients: usize,
    /// How many orders of deltas follow the coefficients: 0, 1 or 2.
    pub deltas: usize,
    /// Into how many consecutive means the fine frames of a unit frame are pooled; 1 is a plain mean.
    pub slices: usize,
}

impl Default for MfccConfig {
    fn default() -> Self {
        Self { hop: 640, filters: 40, coefficients: 13, deltas: 2, slices: 1 }
    }
}

impl MfccConfig {
    /// Samples between fine frames, several of which are pooled into one unit frame: 10 ms.
    pub const FINE_HOP: usize = 160;

    /// Checks that each parameter is in its range.
    ///
    /// # Errors
    /// With the first parameter that is not.
    pub fn check(&self) -> Result<(), MfccError> {
        let Self { hop, filters, coefficients, deltas, slices } = *self;
        let fine = hop / Self::FINE_HOP;
        if hop == 0 || !hop.is_multiple_of(Self::FINE_HOP) || hop > 16_000 {
            return Err(MfccError::Hop { hop, unit: Self::FINE_HOP });
        }
        if !(2..=128).contains(&filters) {
            return Err(MfccError::Filters(filters));
        }
        if !(1..=filters).contains(&coefficients) {
            return Err(MfccError::Coefficients { coefficients, filters });
        }
        if deltas > 2 {
            return Err(MfccError::Deltas(deltas));
        }
        if slices == 0 || !fine.is_multiple_of(slices) {
            return Err(MfccError::Slices { slices, fine });
        }
        Ok(())
    }
}

/// A parameter of MFCC features that is out of its range.
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

/// Parameters of a HuBERT encoder as a feature extractor: part of a tokeniser's identity, together with the
/// checkpoint's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubertFeatures {
    /// Which hidden state: 0 is the one before the first block.
    pub layer: usize,
    /// Zeros put before and after the samples; with half of what a frame sees beyond its hop there is one
    /// frame for every whole hop.
    #[serde(default = "pad")]
    pub pad: [usize; 2],
    /// Frames of a window of a long utterance.
    #[serde(default = "window")]
    pub window: usize,
    /// Frames that two windows share.
    #[serde(default = "overlap")]
    pub overlap: usize,
}

fn pad() -> [usize; 2] {
    [40, 40]
}

/// Three minutes at 25 Hz. With random weights, whose attention is flat, 99.2 % of the units of five minutes are
/// those of one pass; with windows of one minute 97.8 %.
fn window() -> usize {
    4500
}

fn overlap() -> usize {
    250
}

/// Parameters of fitting k-means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KMeansConfig {
    /// How many centroids.
    pub k: usize,
    /// The seed of the start.
    pub seed: u64,
    /// Passes over the frames in mini-batches, before the rounds.
    pub passes: usize,
    /// Frames of a mini-batch.
    pub batch: usize,
    /// Rounds of Lloyd's algorithm at most; it ends early when no frame changes its centroid.
    pub rounds: usize,
    /// Frames to fit on at most, evenly spaced over all there are.
    pub max_frames: usize,
    /// Whether values are scaled to unit variance first, for features whose values differ in kind. The scale
    /// becomes part of the centroids.
    pub standardise: bool,
}

impl KMeansConfig {
    /// How many centroids there may be: a unit is a 16-bit number.
    pub const CENTROIDS: std::ops::RangeInclusive<usize> = 1..=65_535;
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self {
            k: 500,
            seed: 0,
            passes: 2,
            batch: 10_000,
            rounds: 30,
            max_frames: 200_000,
            standardise: false,
        }
    }
}
