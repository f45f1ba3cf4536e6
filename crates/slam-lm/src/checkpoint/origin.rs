//! What a checkpoint's `config.json` says: the model, how its tensors are named and laid out, and
//! which rows of its embedding are the units'.

use super::format::Format;
use crate::config::{ConfigError, DecoderConfig, Family, SizeError, Wanted};
use crate::{BOS, FIRST_UNIT, LmError, PAD};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the row of one of our tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A row of the stored table.
    Of(usize),
    /// The mean of the units' rows: the source has no such token.
    MeanOfUnits,
}

/// How tensors are named and laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// transformers', perhaps under slamkit's `lm.`.
    Transformers,
    /// slm_scaling's (Cuervo & Marxer 2024): names of Meta's Llama, rotary pairs side by side.
    SlmScaling,
}

/// A checkpoint's description of itself.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The model, with this project's tokens.
    pub(super) config: DecoderConfig,
    pub(super) naming: Naming,
    /// Rows of the stored embedding.
    pub(super) stored_vocab: usize,
    /// Where the rows of our tokens are, if not in our order.
    pub(super) rows: Option<Vec<Row>>,
}

impl Origin {
    pub(super) fn read(dir: &Path) -> Result<Self, LmError> {
        let path = dir.join("config.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|source| LmError::ConfigFile { path, source }),
            Err(source) => Err(LmError::Io { path, source }),
        }
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let json: Value = serde_json::from_str(text)?;
        match json["model_type"].as_str() {
            Some("speech_language_model") => Self::slamkit(&json),
            Some("slm") => Self::slm_scaling(&json),
            _ => Self::transformers(&json),
        }
    }

    fn transformers(json: &Value) -> Result<Self, ConfigError> {
        let mut config = DecoderConfig::from_json(json)?;
        config.base_model = hub_name(&json["_name_or_path"]);
        let stored_vocab = config.vocab_size;
        let rows = match &json["offset"] {
            Value::Null => None,
            offset => Some(twist_rows(&config, offset)?),
        };
        if let Some(rows) = &rows {
            use_our_tokens(&mut config, rows.len());
        }
        Ok(Self { config, naming: Naming::Transformers, stored_vocab, rows })
    }

    fn slamkit(json: &Value) -> Result<Self, ConfigError> {
        let base = &json["base_config"];
        if !base.is_object() {
            return Err(ConfigError::NoBase);
        }
        let mut base = base.clone();
        // slamkit keeps the unit vocabulary outside where the base configuration is the text model's.
        for key in ["vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"] {
            if !json[key].is_null() {
                base[key] = json[key].clone();
            }
        }
        let mut origin = Self::transformers(&base)?;
        let family = origin.config.family;
        origin.config.base_model =
            hub_name(&json["base_model_name"]).filter(|name| name != default_base(family));
        Ok(origin)
    }

    /// Llama's block with tied embeddings; units from 0, the end of a sequence behind them.
    fn slm_scaling(json: &Value) -> Result<Self, ConfigError> {
        if json["format_version"] != 1 {
            return Err(ConfigError::SlmScalingVersion(json["format_version"].clone()));
        }
        let a = &json["model_args"];
        if !a["prefix_vocab_size"].is_null() {
            return Err(ConfigError::PrefixTokens);
        }
        let size = |key: &str| {
            let size = a[key].as_u64().and_then(|n| u32::try_from(n).ok()).map(|n| n as usize);
            size.ok_or_else(|| ConfigError::Field {
                field: format!("model_args.{key}"),
                found: (&a[key]).into(),
                wanted: Wanted::Whole,
            })
        };
        let or = |key: &str, default: usize| {
            if a[key].is_null() { Ok(default) } else { size(key) }
        };
        let (dim, heads) = (size("dim")?, size("n_heads")?);
        let multiple = or("multiple_of", 256)?.max(1);
        // Two thirds of four times the width, as Llama rounds it.
        let hidden = or("hidden_dim", (8 * dim / 3).div_ceil(multiple) * multiple)?;
        let stored_vocab = size("vocab_size")?;
        let llama = json!({
            "model_type": "llama", "vocab_size": stored_vocab, "hidden_size": dim,
            "intermediate_size": hidden, "num_hidden_layers": size("n_layers")?,
            "num_attention_heads": heads, "num_key_value_heads": or("n_kv_heads", heads)?,
            "max_position_embeddings": or("block_size", 2048)?,
            "rms_norm_eps": if a["norm_eps"].is_null() { json!(1e-5) } else { a["norm_eps"].clone() },
            "rope_theta": 1e4, "tie_word_embeddings": true,
        });
        let mut config = DecoderConfig::from_json(&llama)?;
        if config.head_dim * heads != dim {
            return Err(SizeError::Heads.into());
        }
        let units = units_between(1, stored_vocab)?;
        // There is no padding token; with the end's row it takes from no unit more than the end does.
        let mut rows = vec![Row::Of(units), Row::Of(units)];
        rows.extend((0..units).map(Row::Of));
        use_our_tokens(&mut config, rows.len());
        Ok(Self { config, naming: Naming::SlmScaling, stored_vocab, rows: Some(rows) })
    }

    /// The stored name of each tensor, by the model's name.
    pub(super) fn names<'a>(
        &self,
        stored: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<String, String> {
        let stored: Vec<&str> = stored.collect();
        match self.naming {
            Naming::Transformers => transformers_names(&stored, self.config.family),
            Naming::SlmScaling => {
                stored.iter().map(|name| (slm_scaling_name(name), (*name).to_owned())).collect()
            }
        }
    }
}

/// `config.json` of a checkpoint that we write.
pub(super) fn config_json(config: &DecoderConfig, format: Format) -> Value {
    let base = config.to_json();
    match format {
        Format::HuggingFace => base,
        Format::Slamkit => {
            let name = config.base_model.as_deref().unwrap_or(default_base(config.family));
            json!({
                "architectures": ["UnitLM"], "model_type": "speech_language_model",
                "base_model_name": name, "base_config": base,
                "vocab_size": base["vocab_size"], "bos_token_id": base["bos_token_id"],
                "eos_token_id": base["eos_token_id"], "pad_token_id": base["pad_token_id"],
                "tie_word_embeddings": base["tie_word_embeddings"],
                "torch_dtype": "float32", "twist_init": false,
            })
        }
    }
}

/// slamkit asks the hub for a configuration of this name, and puts `base_config` over it.
fn default_base(family: Family) -> &'static str {
    match family {
        Family::Qwen2 => "Qwen/Qwen2.5-0.5B",
        Family::Llama => "HuggingFaceTB/SmolLM2-135M",
        Family::Opt => "facebook/opt-125m",
        Family::GptNeox => "EleutherAI/pythia-70m",
    }
}

/// A name of the form `owner/model`; a path on somebody's machine is none.
fn hub_name(json: &Value) -> Option<String> {
    let name = json.as_str()?;
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (owner, model) = name.split_once('/')?;
    (word(owner) && word(model)).then(|| name.to_owned())
}

fn use_our_tokens(config: &mut DecoderConfig, vocab: usize) {
    config.vocab_size = vocab;
    (config.pad_token_id, config.bos_token_id, config.eos_token_id) =
        (Some(PAD), Some(BOS), Some(BOS));
}

/// How many units there are when other rows take so many of the vocabulary.
fn units_between(others: usize, vocab: usize) -> Result<usize, ConfigError> {
    let units = vocab.checked_sub(others).filter(|units| (1..=1 << 16).contains(units));
    units.ok_or(ConfigError::Units { vocab, others })
}

/// TWIST's checkpoints are plain text models whose `offset` says which row is unit 0's.
fn twist_rows(config: &DecoderConfig, offset: &Value) -> Result<Vec<Row>, ConfigError> {
    let offset = offset
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n < config.vocab_size)
        .ok_or_else(|| ConfigError::Offset(offset.clone()))?;
    let special = |ids: [Option<u32>; 2]| {
        let row = ids.into_iter().flatten().map(|id| id as usize).find(|id| *id < offset);
        row.map_or(Row::MeanOfUnits, Row::Of)
    };
    let end = special([config.bos_token_id, config.eos_token_id]);
    let pad = special([config.pad_token_id, None]);
    let pad = if pad == Row::MeanOfUnits { end } else { pad };
    units_between(offset, config.vocab_size)?;
    let mut rows = vec![pad, end];
    debug_assert_eq!(rows.len(), FIRST_UNIT as usize);
    rows.extend((offset..config.vocab_size).map(Row::Of));
    Ok(rows)
}

/// slamkit's `lm.` is taken off, and the `model.` that checkpoints of a bare decoder lack is put on.
fn transformers_names(stored: &[&str], family: Family) -> BTreeMap<String, String> {
    let wanted = crate::names::names(family).embedding;
    let (outer, _) = wanted.split_once('.').unwrap_or((wanted, ""));
    let strip = ["lm.", ""].into_iter().find(|p| stored.contains(&format!("{p}{wanted}").as_str()));
    stored
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

fn slm_scaling_name(stored: &str) -> String {
    let mut name = stored;
    // What compilation and data parallelism wrap around a model.
    while let Some(inner) =
        ["_orig_mod.", "module.", "model."].iter().find_map(|prefix| name.strip_prefix(prefix))
    {
        name = inner;
    }
    let (layer, part) = match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        Some((index, part)) => (format!("layers.{index}."), part),
        None => (String::new(), name),
    };
    let part = match part {
        "tok_embeddings.weight" => "embed_tokens.weight",
        "output.weight" => return "lm_head.weight".to_owned(),
        "attention.wq.weight" => "self_attn.q_proj.weight",
        "attention.wk.weight" => "self_attn.k_proj.weight",
        "attention.wv.weight" => "self_attn.v_proj.weight",
        "attention.wo.weight" => "self_attn.o_proj.weight",
        "feed_forward.w1.weight" => "mlp.gate_proj.weight",
        "feed_forward.w2.weight" => "mlp.down_proj.weight",
        "feed_forward.w3.weight" => "mlp.up_proj.weight",
        "attention_norm.weight" => "input_layernorm.weight",
        "ffn_norm.weight" => "post_attention_layernorm.weight",
        other => other,
    };
    format!("model.{layer}{part}")
}
