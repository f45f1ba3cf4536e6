//! What every feature extractor has in common.

use crate::lanes;

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

    /// Gives `each` the frames of an utterance, `floor(samples / hop)` of them, `[frames, dim]` in row order,
    /// part by part, so that the frames of a long recording need not be in memory at once.
    fn for_each_part(&self, samples: &[f32], each: &mut dyn FnMut(&[f32]));

    /// Whether utterances are better computed side by side, a thread each, than one after the other.
    fn side_by_side(&self) -> bool {
        true
    }

    /// All frames of an utterance.
    fn frames(&self, samples: &[f32]) -> Frames {
        let mut values = Vec::new();
        self.for_each_part(samples, &mut |part| values.extend_from_slice(part));
        Frames { values, dim: self.dim() }
    }
}

/// A function of each of several utterances: each the same as alone.
pub(crate) fn of_all<R: Send>(
    extractor: &dyn FeatureExtractor,
    utterances: &[&[f32]],
    work: impl Fn(&[f32]) -> R + Sync,
) -> Vec<R> {
    if extractor.side_by_side() {
        lanes::map(utterances, |samples| samples.len(), |samples| work(samples))
    } else {
        utterances.iter().map(|samples| work(samples)).collect()
    }
}
