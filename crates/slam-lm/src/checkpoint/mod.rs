//! Checkpoints: written in Hugging Face's plain form and in slamkit's, read in these, in TWIST's and in
//! slm_scaling's.

mod format;
mod origin;
mod source;
#[cfg(test)]
mod tests;

use crate::config::{ConfigError, DecoderConfig};
use crate::decoder::Decoder;
use crate::{LmError, tokenizer};
use burn::tensor::Device;
use origin::Origin;
use serde_json::{Value, json};
use slam_nn::params::{Parameter, Parameters};
use slam_nn::weights::{Weights, write_safetensors};
use source::Fit;
use std::collections::BTreeMap;
use std::path::Path;

pub use format::Format;

/// What may differ between a text model and the unit model that starts from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwistOptions {
    /// Base of the rotary frequencies, where it changes (the recipe: 10,000).
    pub rope_theta: Option<f64>,
    /// Number of positions, where it changes (rotary families only).
    pub max_positions: Option<usize>,
    /// Whether the head is the embedding, where it changes; an untied head is shrunk like the
    /// embedding, or starts as its copy.
    pub tie_embeddings: Option<bool>,
    /// Names of tensors that may differ: unexpected ones are left out, missing ones and ones of
    /// another shape start random. `blocks.*` stands for all that begin so.
    pub allow: Vec<String>,
    /// Seed of the rows added where the vocabulary grows, and of tensors that start random.
    pub seed: u64,
}

/// Reads `config.json` of a checkpoint folder in any form that [`Decoder::load`] reads: the decoder
/// that it would give.
///
/// # Errors
/// When it can't be read or asks for something this crate lacks.
pub fn read_config(dir: &Path) -> Result<DecoderConfig, LmError> {
    Ok(Origin::read(dir)?.config)
}

impl Decoder {
    /// Loads a checkpoint folder, tensor by tensor: transformers', slamkit's, TWIST's (a text model
    /// with an `offset`) or slm_scaling's, the latter two with their tokens put in our order.
    ///
    /// slm_scaling's models know no `<PAD>`; it gets `<S>`'s row, so that what other tokens lose to
    /// it is no more than what `<S>` has.
    ///
    /// # Errors
    /// When a file can't be read, or tensors are missing, unexpected or of another shape.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self, LmError> {
        Self::load_allowing(dir, &[], device)
    }

    /// [`Decoder::load`], where the named tensors may differ as [`TwistOptions::allow`] says.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn load_allowing(
        dir: impl AsRef<Path>,
        allow: &[String],
        device: &Device,
    ) -> Result<Self, LmError> {
        let dir = dir.as_ref();
        let origin = Origin::read(dir)?;
        let (config, copy_head) = (&origin.config, false);
        let fit = Fit { device, config, origin: &origin, copy_head, allow, seed: 0 };
        fit.decoder(&Weights::open(dir)?)
    }

    /// TWIST (Hassid et al. 2023): starts a unit model from a text model. The embedding, and an
    /// untied head, keep their first `vocab` rows; where the vocabulary grows, new rows are drawn
    /// from the normal distribution of the old rows' mean and covariance / 1e9, as transformers'
    /// `resize_token_embeddings` does (here: its diagonal).
    ///
    /// # Errors
    /// As [`Decoder::load`], and when an option does not fit the family.
    pub fn from_text_lm(
        dir: impl AsRef<Path>,
        vocab: usize,
        options: &TwistOptions,
        device: &Device,
    ) -> Result<Self, LmError> {
        let dir = dir.as_ref();
        let origin = Origin::read(dir)?;
        if origin.rows.is_some() {
            return Err(ConfigError::UnitsAlready.into());
        }
        let mut config = origin.config.clone();
        config.vocab_size = vocab;
        (config.pad_token_id, config.bos_token_id, config.eos_token_id) =
            (Some(crate::PAD), Some(crate::BOS), Some(crate::BOS));
        config.rope_theta = options.rope_theta.unwrap_or(config.rope_theta);
        config.tie_embeddings = options.tie_embeddings.unwrap_or(config.tie_embeddings);
        if let Some(positions) = options.max_positions {
            if config.rotary_dim == 0 {
                return Err(ConfigError::LearnedPositions.into());
            }
            config.max_positions = positions;
        }
        let copy_head = origin.config.tie_embeddings;
        let (config, allow, seed) = (&config, options.allow.as_slice(), options.seed);
        let fit = Fit { device, config, origin: &origin, copy_head, allow, seed };
        fit.decoder(&Weights::open(dir)?)
    }

    /// Writes `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` and
    /// `model.safetensors`, and `README.md` where a model card is given.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(&self, dir: &Path, format: Format, card: Option<&str>) -> Result<(), LmError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| LmError::Io { path: dir.to_owned(), source })?;
        let prefix = if format == Format::Slamkit { "lm." } else { "" };
        let config = origin::config_json(self.config(), format);
        let c = self.config();
        let generation = json!({
            "bos_token_id": c.bos_token_id, "eos_token_id": c.eos_token_id,
            "pad_token_id": c.pad_token_id, "do_sample": true, "temperature": 0.8, "top_k": 25,
            "repetition_penalty": 1.1,
        });
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|source| LmError::Io { path, source })
        };
        let pretty = |json: &Value| format!("{json:#}\n");
        write("config.json", pretty(&config))?;
        write("generation_config.json", pretty(&generation))?;
        let units = c.vocab_size.saturating_sub(crate::FIRST_UNIT as usize);
        write("tokenizer.json", pretty(&tokenizer::tokenizer_json(units)))?;
        write("tokenizer_config.json", pretty(&tokenizer::tokenizer_config_json()))?;
        if let Some(card) = card {
            write("README.md", card.to_owned())?;
        }
        let mut shapes = Vec::new();
        let mut params = BTreeMap::new();
        self.for_each_param(&mut |name, p| {
            shapes.push((format!("{prefix}{name}"), p.shape()));
            params.insert(format!("{prefix}{name}"), p.flat());
        });
        let mut values = |name: &str| params.get(name).map(Parameter::to_f32).unwrap_or_default();
        let path = dir.join("model.safetensors");
        let temporary = dir.join("model.safetensors.partial");
        write_safetensors(&temporary, &shapes, &mut values)?;
        std::fs::rename(&temporary, &path).map_err(|source| LmError::Io { path, source })
    }
}
