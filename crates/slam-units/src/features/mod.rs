//! Feature extractors: samples in, frames out.

mod mfcc;

use serde::{Deserialize, Serialize};

pub use mfcc::{Mfcc, MfccConfig};

/// Frames of one utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Values, `[frames, dim]` in row order.
    pub values: Vec<f32>,
    /// Values of a frame.
    pub dim: usize,
}

impl Frames {
    /// The frames one by one.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether the utterance is shorter than a frame.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What turns speech into frames. A frame depends on its utterance alone.
pub trait FeatureExtractor: Send + Sync {
    /// Samples at 16 kHz between frames.
    fn hop(&self) -> usize;

    /// Values of a frame.
    fn dim(&self) -> usize;

    /// The layer the frames come from, where there are layers.
    fn layer(&self) -> Option<u32>;

    /// Frames of an utterance: `floor(samples / hop)` of them.
    fn frames(&self, samples: &[f32]) -> Frames;
}

/// Which feature extractor, with its parameters: part of a tokeniser's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeatureConfig {
    /// Mel-frequency cepstral coefficients.
    Mfcc(MfccConfig),
}

impl FeatureConfig {
    /// Makes the extractor.
    ///
    /// # Errors
    /// If a parameter is out of its range; the message names it.
    pub fn build(&self) -> Result<Box<dyn FeatureExtractor>, String> {
        match self {
            Self::Mfcc(config) => Ok(Box::new(Mfcc::new(config.clone())?)),
        }
    }
}
