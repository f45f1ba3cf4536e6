//! HuBERT (Hsu et al., 2021): hidden states of a transformer over convolved samples.
//!
//! Utterances are computed one by one, never padded to each other: a file's frames are the same alone and
//! in any company. Long utterances are convolved in chunks with the result of one pass (the group norm's
//! statistics are those of the whole utterance), and go through the transformer in windows that overlap
//! and are joined where they agree best.

mod config;
mod encoder;
mod error;
mod frontend;
mod long;
mod weights;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use slam_nn::weights::Weights;
pub use slam_recipe::tokeniser::HubertFeatures;

pub use config::HubertConfig;
pub use error::{ConfigFault, HubertError};

use super::extractor::FeatureExtractor;
use encoder::Encoder;
use frontend::{Frontend, Padded};
use weights::Source;

/// A HuBERT encoder up to one layer.
pub struct Hubert {
    frontend: Frontend,
    encoder: Encoder,
    config: HubertConfig,
    features: HubertFeatures,
    device: Device,
}

/// Samples that are put on either side of an utterance, at most.
const MAX_PAD: usize = 1 << 20;

impl Hubert {
    /// Loads a checkpoint folder's `config.json` and weights (safetensors or torch), blocks up to the
    /// asked layer only.
    ///
    /// # Errors
    /// If a file is missing or unreadable, a tensor is missing or of another shape, or a parameter is out
    /// of range.
    pub fn load(
        folder: &Path,
        features: &HubertFeatures,
        device: &Device,
    ) -> Result<Self, HubertError> {
        let config = HubertConfig::read(&folder.join("config.json"))?;
        let HubertFeatures { layer, window, overlap, pad } = *features;
        if layer > config.num_hidden_layers {
            return Err(HubertError::Layer { layer, layers: config.num_hidden_layers });
        }
        if overlap < 2 || window < 2 * overlap {
            return Err(HubertError::Windows { window, overlap });
        }
        if pad.iter().any(|&p| p > MAX_PAD) {
            return Err(HubertError::Pad { pad, most: MAX_PAD });
        }
        let file = Weights::open(folder)?;
        let source = Source::new(&file, device);
        Ok(Self {
            frontend: Frontend::load(&source, &config, device)?,
            encoder: Encoder::load(&source, &config, layer)?,
            config,
            features: features.clone(),
            device: device.clone(),
        })
    }

    /// Hidden states of samples, padded as configured, up to the asked layer, each `[frames, hidden]`,
    /// without windows. Empty where the samples are too short for a frame.
    pub fn hidden_states(&self, samples: &[f32]) -> Vec<Tensor<2>> {
        let samples = Padded::new(samples, self.features.pad);
        let count = self.frontend.frames(samples.len());
        let mut states = Vec::new();
        if count > 0 {
            let projected = self.encoder.project(self.frontend.prepare(samples).frames(0..count));
            self.encoder.forward(projected, &mut |_, state| states.push(state.clone()));
        }
        states
    }
}

impl FeatureExtractor for Hubert {
    fn hop(&self) -> usize {
        self.config.hop()
    }

    fn dim(&self) -> usize {
        self.config.hidden_size
    }

    fn layer(&self) -> Option<u32> {
        Some(self.features.layer as u32)
    }

    fn for_each_part(&self, samples: &[f32], each: &mut dyn FnMut(&[f32])) {
        let samples = Padded::new(samples, self.features.pad);
        let count = self.frontend.frames(samples.len());
        if count == 0 {
            return;
        }
        let HubertFeatures { window, overlap, .. } = self.features;
        let prepared = self.frontend.prepare(samples);
        long::in_windows(
            count,
            window,
            overlap,
            &mut |range| self.encoder.project(prepared.frames(range)),
            &|part| self.encoder.forward(part, &mut |_, _| ()),
            each,
        );
    }

    fn side_by_side(&self) -> bool {
        slam_nn::device::is_cpu(&self.device)
    }
}
