//! Checkpoints: Hugging Face's plain form and slamkit's.

use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::layers::Source;
use crate::{LmError, tokenizer};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};
use slam_nn::params::Parameters;
use slam_nn::weights::{Weights, WeightsError, write_safetensors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The form of a checkpoint folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What slamkit's `UnitLM.from_pretrained` loads: the decoder's configuration under
    /// `base_config`, keys under `lm.`.
    Slamkit,
    /// What transformers' `AutoModelForCausalLM.from_pretrained` loads.
    HuggingFace,
}

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
    /// Names of tensors that the checkpoint may have and the model does not know.
    pub allow_unexpected: Vec<String>,
    /// Seed of the rows added where the vocabulary grows.
    pub seed: u64,
}

/// Reads `config.json` of a checkpoint folder, in either form.
///
/// # Errors
/// When it can't be read or asks for something this crate lacks.
pub fn read_config(dir: &Path) -> Result<DecoderConfig, LmError> {
    let path = dir.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| LmError::Io { path, source })?;
    let json: Value =
        serde_json::from_str(&text).map_err(|e| LmError::Config(format!("not JSON ({e})")))?;
    if json["model_type"] != "speech_language_model" {
        return DecoderConfig::from_json(&json);
    }
    let base = &json["base_config"];
    if !base.is_object() {
        return Err(LmError::Config("speech_language_model without a `base_config`".to_owned()));
    }
    let mut base = base.clone();
    // slamkit keeps the unit vocabulary outside where the base configuration is the text model's.
    for key in ["vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"] {
        if !json[key].is_null() {
            base[key] = json[key].clone();
        }
    }
    DecoderConfig::from_json(&base)
}

impl Decoder {
    /// Loads a checkpoint folder in either [`Format`], tensor by tensor.
    ///
    /// # Errors
    /// When a file can't be read, or tensors are missing, unexpected or of another shape.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self, LmError> {
        let dir = dir.as_ref();
        let config = read_config(dir)?;
        let weights = Weights::open(dir)?;
        let vocab = None;
        Self::from_weights(&config, &weights, &Fit { device, vocab, seed: 0, allow: &[] })
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
        let mut config = read_config(dir)?;
        let text_vocab = config.vocab_size;
        config.vocab_size = vocab;
        (config.pad_token_id, config.bos_token_id, config.eos_token_id) =
            (Some(crate::PAD), Some(crate::BOS), Some(crate::BOS));
        config.rope_theta = options.rope_theta.unwrap_or(config.rope_theta);
        config.tie_embeddings = options.tie_embeddings.unwrap_or(config.tie_embeddings);
        if let Some(positions) = options.max_positions {
            if config.rotary_dim == 0 {
                return Err(LmError::Config("learned positions can't be resized".to_owned()));
            }
            config.max_positions = positions;
        }
        let weights = Weights::open(dir)?;
        let (vocab, allow) = (Some(text_vocab), options.allow_unexpected.as_slice());
        Self::from_weights(&config, &weights, &Fit { device, vocab, seed: options.seed, allow })
    }

    fn from_weights(
        config: &DecoderConfig,
        weights: &Weights,
        fit: &Fit<'_>,
    ) -> Result<Self, LmError> {
        let mut source = FromWeights {
            config,
            weights,
            fit,
            stored: stored_names(weights, config),
            used: BTreeSet::new(),
            missing: Vec::new(),
        };
        let decoder = Self::build(config, &mut source, fit.device)?;
        let FromWeights { stored, used, missing, .. } = source;
        let head = crate::decoder::names(config.family).head;
        let unexpected: Vec<String> = stored
            .iter()
            .filter(|(name, _)| !used.contains(*name))
            // A tied head may be stored too, and buffers of older versions are recomputed.
            .filter(|(name, _)| !is_buffer(name) && (!config.tie_embeddings || *name != head))
            .map(|(_, stored)| stored.clone())
            .filter(|name| !fit.allow.contains(name))
            .collect();
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(decoder);
        }
        Err(LmError::Tensors { path: weights.path().to_owned(), missing, unexpected })
    }

    /// Writes `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` and
    /// `model.safetensors`, and `README.md` where a model card is given.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(&self, dir: &Path, format: Format, card: Option<&str>) -> Result<(), LmError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| LmError::Io { path: dir.to_owned(), source })?;
        let base = self.config().to_json();
        let prefix = if format == Format::Slamkit { "lm." } else { "" };
        let config = match format {
            Format::HuggingFace => base,
            Format::Slamkit => json!({
                "architectures": ["UnitLM"], "model_type": "speech_language_model",
                "base_model_name": base["model_type"], "base_config": base,
                "vocab_size": base["vocab_size"], "bos_token_id": base["bos_token_id"],
                "eos_token_id": base["eos_token_id"], "pad_token_id": base["pad_token_id"],
                "torch_dtype": "float32", "twist_init": false,
            }),
        };
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
            // A tensor's clone shares its storage.
            let read: Box<dyn Fn() -> Vec<f32>> = match p {
                slam_nn::params::ParamRef::D1(t) => reader(t.clone()),
                slam_nn::params::ParamRef::D2(t) => reader(t.clone()),
                slam_nn::params::ParamRef::D3(t) => reader(t.clone()),
            };
            params.insert(format!("{prefix}{name}"), read);
        });
        let mut values = |name: &str| params.get(name).map_or_else(Vec::new, |read| read());
        let path = dir.join("model.safetensors");
        let temporary = dir.join("model.safetensors.partial");
        write_safetensors(&temporary, &shapes, &mut values)?;
        std::fs::rename(&temporary, &path).map_err(|source| LmError::Io { path, source })
    }
}

fn reader<const D: usize>(tensor: Tensor<D>) -> Box<dyn Fn() -> Vec<f32>> {
    Box::new(move || tensor.to_data().iter::<f32>().collect())
}

/// The model's name of each stored tensor: slamkit's `lm.` is taken off, and the `model.` that
/// checkpoints of a bare decoder lack is put on.
fn stored_names(weights: &Weights, config: &DecoderConfig) -> BTreeMap<String, String> {
    let wanted = crate::decoder::names(config.family).embedding;
    let (outer, _) = wanted.split_once('.').unwrap_or((wanted, ""));
    let names: Vec<&str> = weights.names().collect();
    let strip = ["lm.", ""].into_iter().find(|p| names.contains(&format!("{p}{wanted}").as_str()));
    names
        .iter()
        .map(|name| {
            let model = match strip {
                Some(prefix) => name.strip_prefix(prefix).unwrap_or(name).to_owned(),
                None if name.starts_with("lm_head") || name.starts_with("embed_out") => {
                    (*name).to_owned()
                }
                None => format!("{outer}.{name}"),
            };
            (model, (*name).to_owned())
        })
        .collect()
}

fn is_buffer(name: &str) -> bool {
    [".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

struct Fit<'a> {
    device: &'a Device,
    /// The text model's vocabulary, where the embedding's rows are fitted to the configuration's.
    vocab: Option<usize>,
    seed: u64,
    allow: &'a [String],
}

struct FromWeights<'a> {
    config: &'a DecoderConfig,
    weights: &'a Weights,
    fit: &'a Fit<'a>,
    stored: BTreeMap<String, String>,
    used: BTreeSet<String>,
    missing: Vec<String>,
}

impl FromWeights<'_> {
    /// The values, or zeros where the tensor is missing: all missing names are reported together.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LmError> {
        let names = crate::decoder::names(self.config.family);
        let mut from = name;
        if name == names.head && !self.stored.contains_key(name) && self.fit.vocab.is_some() {
            // Untied by choice: the head starts as the embedding's copy.
            from = names.embedding;
        }
        let Some(stored) = self.stored.get(from) else {
            self.missing.push(name.to_owned());
            return Ok(vec![0.0; shape.iter().product()]);
        };
        self.used.insert(from.to_owned());
        if (name == names.embedding || name == names.head) && self.fit.vocab.is_some() {
            let (values, found) = self.weights.tensor_f32(stored)?;
            if found.len() != 2 || found[1] != shape[1] || found[0] == 0 {
                return Err(LmError::Weights(WeightsError::Shape {
                    path: self.weights.path().to_owned(),
                    name: stored.clone(),
                    found,
                    expected: vec![self.fit.vocab.unwrap_or(0), shape[1]],
                }));
            }
            return Ok(resize_rows(values, found[0], shape[0], shape[1], self.fit.seed));
        }
        Ok(self.weights.tensor_shaped(stored, shape)?)
    }
}

impl Source for FromWeights<'_> {
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LmError> {
        let values = self.values(name, &[len])?;
        Ok(Tensor::from_data(TensorData::new(values, [len]), self.fit.device))
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, LmError> {
        let values = self.values(name, &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.fit.device))
    }
}

/// Keeps the first rows, or adds rows near the old ones' mean.
fn resize_rows(mut values: Vec<f32>, old: usize, new: usize, width: usize, seed: u64) -> Vec<f32> {
    values.truncate(new * width);
    if new > old {
        let column = |i: usize| (0..old).map(move |row| row * width + i);
        let moments: Vec<(f64, f64)> = (0..width)
            .map(|i| {
                let mean = column(i).map(|at| f64::from(values[at])).sum::<f64>() / old as f64;
                let square = |at: usize| (f64::from(values[at]) - mean).powi(2);
                let variance = column(i).map(square).sum::<f64>() / old as f64;
                (mean, (variance * 1e-9).sqrt())
            })
            .collect();
        let mut rng = crate::Rng::named(seed, "added embedding rows");
        for _ in old..new {
            values.extend(moments.iter().map(|(mean, sd)| (mean + sd * rng.normal()) as f32));
        }
    }
    values
}
