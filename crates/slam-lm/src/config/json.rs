//! `config.json`, read and written.

use super::{Activation, ConfigError, DecoderConfig, Family, RopeScaling, Wanted};
use serde_json::{Map, Value, json};

impl DecoderConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When a key is missing or has the wrong type, or asks for something this crate lacks: an
    /// unknown family, activation or rotary scaling, a sliding window.
    pub fn from_json(json: &Value) -> Result<Self, ConfigError> {
        let model_type = json["model_type"].as_str().unwrap_or("");
        let config = match model_type {
            "qwen2" | "llama" => Self::from_llama_json(json, model_type == "qwen2"),
            "opt" => Self::from_opt_json(json),
            "gpt_neox" => Self::from_neox_json(json),
            other => Err(ConfigError::Family(other.to_owned())),
        }?;
        config.check()?;
        Ok(config)
    }

    fn from_llama_json(json: &Value, qwen: bool) -> Result<Self, ConfigError> {
        let hidden = size(json, "hidden_size")?;
        let heads = size(json, "num_attention_heads")?;
        let head_dim = size_or(json, "head_dim", hidden / heads.max(1))?;
        let windowed = |kind: &Value| kind.as_str() == Some("sliding_attention");
        let layers = json["layer_types"].as_array();
        if flag(json, "use_sliding_window", false)?
            || layers.is_some_and(|l| l.iter().any(windowed))
        {
            return Err(ConfigError::SlidingWindow);
        }
        expect_activation(json, "hidden_act", &["silu"])?;
        let attention_bias = flag(json, "attention_bias", false)?;
        let mut config = Self::qwen2(
            size(json, "vocab_size")?,
            hidden,
            size(json, "intermediate_size")?,
            size(json, "num_hidden_layers")?,
            heads,
            size_or(json, "num_key_value_heads", heads)?,
            size_or(json, "max_position_embeddings", if qwen { 32_768 } else { 2048 })?,
        );
        config.family = if qwen { Family::Qwen2 } else { Family::Llama };
        config.head_dim = head_dim;
        config.rotary_dim = head_dim;
        config.norm_eps = number(json, "rms_norm_eps", 1e-6)?;
        config.tie_embeddings = flag(json, "tie_word_embeddings", false)?;
        config.qkv_bias = qwen || attention_bias;
        config.out_bias = !qwen && attention_bias;
        config.mlp_bias = flag(json, "mlp_bias", false)?;
        config.read_rope(json)?;
        config.read_tokens(json)?;
        Ok(config)
    }

    fn from_opt_json(json: &Value) -> Result<Self, ConfigError> {
        let hidden = size(json, "hidden_size")?;
        let heads = size(json, "num_attention_heads")?;
        if !flag(json, "layer_norm_elementwise_affine", true)? {
            return Err(ConfigError::NormsWithoutWeights);
        }
        let activation =
            expect_activation(json, "activation_function", &["relu", "gelu"]).map(|a| match a {
                "gelu" => Activation::Gelu,
                _ => Activation::Relu,
            })?;
        let mut config = Self::qwen2(
            size(json, "vocab_size")?,
            hidden,
            size(json, "ffn_dim")?,
            size(json, "num_hidden_layers")?,
            heads,
            heads,
            size_or(json, "max_position_embeddings", 2048)?,
        );
        config.family = Family::Opt;
        config.rotary_dim = 0;
        config.norm_eps = 1e-5;
        config.tie_embeddings = flag(json, "tie_word_embeddings", true)?;
        let bias = flag(json, "enable_bias", true)?;
        (config.qkv_bias, config.out_bias, config.mlp_bias) = (bias, bias, bias);
        config.activation = activation;
        config.pre_norm = flag(json, "do_layer_norm_before", true)?;
        config.final_norm = config.pre_norm && !flag(json, "_remove_final_layer_norm", false)?;
        config.embed_dim = size_or(json, "word_embed_proj_dim", hidden)?;
        config.read_tokens(json)?;
        config.initializer_range = number(json, "init_std", 0.02)?;
        Ok(config)
    }

    fn from_neox_json(json: &Value) -> Result<Self, ConfigError> {
        let activation = expect_activation(json, "hidden_act", &["gelu", "relu"])?;
        let heads = size(json, "num_attention_heads")?;
        let mut config = Self::qwen2(
            size(json, "vocab_size")?,
            size(json, "hidden_size")?,
            size(json, "intermediate_size")?,
            size(json, "num_hidden_layers")?,
            heads,
            heads,
            size_or(json, "max_position_embeddings", 2048)?,
        );
        config.family = Family::GptNeox;
        config.norm_eps = number(json, "layer_norm_eps", 1e-5)?;
        config.tie_embeddings = flag(json, "tie_word_embeddings", false)?;
        let bias = flag(json, "attention_bias", true)?;
        (config.qkv_bias, config.out_bias, config.mlp_bias) = (bias, bias, true);
        config.activation = if activation == "relu" { Activation::Relu } else { Activation::Gelu };
        config.parallel_residual = flag(json, "use_parallel_residual", true)?;
        config.rope_theta = number(json, "rotary_emb_base", 10_000.0)?;
        config.read_rope(json)?;
        let rope = &json["rope_parameters"];
        let share = number(rope, "partial_rotary_factor", 0.25)?;
        let share = number(json, "partial_rotary_factor", share)?;
        let share = number(json, "rotary_pct", share)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(ConfigError::RotaryShare(share));
        }
        config.rotary_dim = (config.head_dim as f64 * share + 1e-6) as usize;
        config.read_tokens(json)?;
        Ok(config)
    }

    fn read_rope(&mut self, json: &Value) -> Result<(), ConfigError> {
        // transformers 5 writes both into `rope_parameters`.
        let newer = &json["rope_parameters"];
        let newer_theta = number(newer, "rope_theta", self.rope_theta)?;
        self.rope_theta = number(json, "rope_theta", newer_theta)?;
        let scaling = if newer.is_object() { newer } else { &json["rope_scaling"] };
        if !(scaling.is_object() || scaling.is_null()) {
            return Err(wrong("rope_scaling", scaling, Wanted::Table));
        }
        let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default");
        let need = |key: &str| {
            scaling[key].as_f64().ok_or_else(|| ConfigError::RopeScalingLacks {
                kind: kind.to_owned(),
                field: key.to_owned(),
            })
        };
        self.rope_scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: need("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: need("factor")?,
                low: need("low_freq_factor")?,
                high: need("high_freq_factor")?,
                original: need("original_max_position_embeddings")?,
            },
            "dynamic" => RopeScaling::Dynamic { factor: need("factor")? },
            "yarn" => {
                let factor = need("factor")?;
                let original = match number(scaling, "original_max_position_embeddings", 0.0)? {
                    0.0 => self.max_positions as f64,
                    given => given,
                };
                RopeScaling::Yarn {
                    factor,
                    original,
                    beta_fast: number(scaling, "beta_fast", 32.0)?,
                    beta_slow: number(scaling, "beta_slow", 1.0)?,
                    attention: yarn_attention(scaling, factor)?,
                    truncate: flag(scaling, "truncate", true)?,
                }
            }
            other => return Err(ConfigError::RopeScaling(other.to_owned())),
        };
        Ok(())
    }

    fn read_tokens(&mut self, json: &Value) -> Result<(), ConfigError> {
        // Chat models list several ends; the first is the one of plain text.
        let id = |key: &str| {
            let value = if json[key].is_array() { &json[key][0] } else { &json[key] };
            // -1 stands for none in some files.
            value.as_u64().and_then(|id| u32::try_from(id).ok())
        };
        self.pad_token_id = id("pad_token_id");
        self.bos_token_id = id("bos_token_id");
        self.eos_token_id = id("eos_token_id");
        self.initializer_range = number(json, "initializer_range", 0.02)?;
        Ok(())
    }

    /// The `config.json` that transformers reads.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut set = |key: &str, value: Value| {
            json.insert(key.to_owned(), value);
        };
        set("architectures", json!([self.family.architecture()]));
        set("model_type", json!(self.family.model_type()));
        set("dtype", json!("float32"));
        set("torch_dtype", json!("float32"));
        set("vocab_size", json!(self.vocab_size));
        set("hidden_size", json!(self.hidden_size));
        set("num_hidden_layers", json!(self.num_layers));
        set("num_attention_heads", json!(self.num_heads));
        set("max_position_embeddings", json!(self.max_positions));
        set("tie_word_embeddings", json!(self.tie_embeddings));
        set("pad_token_id", json!(self.pad_token_id));
        set("bos_token_id", json!(self.bos_token_id));
        set("eos_token_id", json!(self.eos_token_id));
        set("attention_dropout", json!(0.0));
        set("use_cache", json!(true));
        let activation = match self.activation {
            Activation::SwiGlu => "silu",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
        };
        if self.family == Family::Opt {
            set("ffn_dim", json!(self.intermediate_size));
            set("activation_function", json!(activation));
            set("dropout", json!(0.0));
            set("layerdrop", json!(0.0));
            set("enable_bias", json!(self.mlp_bias));
            set("do_layer_norm_before", json!(self.pre_norm));
            set("_remove_final_layer_norm", json!(self.pre_norm && !self.final_norm));
            set("word_embed_proj_dim", json!(self.embed_dim));
            set("init_std", json!(self.initializer_range));
            return Value::Object(json);
        }
        set("intermediate_size", json!(self.intermediate_size));
        set("hidden_act", json!(activation));
        set("initializer_range", json!(self.initializer_range));
        set("rope_theta", json!(self.rope_theta));
        set(
            "rope_scaling",
            match self.rope_scaling {
                RopeScaling::None => Value::Null,
                RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
                RopeScaling::Llama3 { factor, low, high, original } => json!({
                    "rope_type": "llama3", "factor": factor, "low_freq_factor": low,
                    "high_freq_factor": high, "original_max_position_embeddings": original as u64,
                }),
                RopeScaling::Dynamic { factor } => {
                    json!({"rope_type": "dynamic", "factor": factor})
                }
                RopeScaling::Yarn {
                    factor,
                    original,
                    beta_fast,
                    beta_slow,
                    attention,
                    truncate,
                } => json!({
                    "rope_type": "yarn", "factor": factor,
                    "original_max_position_embeddings": original as u64,
                    "beta_fast": beta_fast, "beta_slow": beta_slow,
                    "attention_factor": attention, "truncate": truncate,
                }),
            },
        );
        if self.family == Family::GptNeox {
            set("layer_norm_eps", json!(self.norm_eps));
            set("attention_bias", json!(self.qkv_bias));
            set("hidden_dropout", json!(0.0));
            set("use_parallel_residual", json!(self.parallel_residual));
            set("rotary_emb_base", json!(self.rope_theta));
            let share = self.rotary_dim as f64 / self.head_dim as f64;
            set("rotary_pct", json!(share));
            set("partial_rotary_factor", json!(share));
            return Value::Object(json);
        }
        set("num_key_value_heads", json!(self.num_kv_heads));
        set("rms_norm_eps", json!(self.norm_eps));
        if self.head_dim * self.num_heads != self.hidden_size || self.family == Family::Llama {
            set("head_dim", json!(self.head_dim));
        }
        if self.family == Family::Llama {
            set("attention_bias", json!(self.out_bias));
            set("mlp_bias", json!(self.mlp_bias));
        } else {
            set("use_sliding_window", json!(false));
            set("sliding_window", Value::Null);
            // Spelled out, since slamkit puts these keys over another model's.
            set("max_window_layers", json!(self.num_layers));
            set("layer_types", json!(vec!["full_attention"; self.num_layers]));
        }
        Value::Object(json)
    }
}

/// The factor on cosines and sines that YaRN's checkpoints name, or give by `mscale` or not at all (Peng et
/// al. 2023, section 3.4).
fn yarn_attention(scaling: &Value, factor: f64) -> Result<f64, ConfigError> {
    let by = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let (scale, all) = (number(scaling, "mscale", 0.0)?, number(scaling, "mscale_all_dim", 0.0)?);
    let found = if scale != 0.0 && all != 0.0 { by(scale) / by(all) } else { by(1.0) };
    number(scaling, "attention_factor", found)
}

fn wrong(field: &str, value: &Value, wanted: Wanted) -> ConfigError {
    ConfigError::Field { field: field.to_owned(), found: value.into(), wanted }
}

fn size(json: &Value, key: &str) -> Result<usize, ConfigError> {
    let value = &json[key];
    value.as_u64().map(|n| n as usize).ok_or_else(|| wrong(key, value, Wanted::Whole))
}

fn size_or(json: &Value, key: &str, default: usize) -> Result<usize, ConfigError> {
    if json[key].is_null() { Ok(default) } else { size(json, key) }
}

fn number(json: &Value, key: &str, default: f64) -> Result<f64, ConfigError> {
    match &json[key] {
        Value::Null => Ok(default),
        value => value.as_f64().ok_or_else(|| wrong(key, value, Wanted::Number)),
    }
}

fn flag(json: &Value, key: &str, default: bool) -> Result<bool, ConfigError> {
    match &json[key] {
        Value::Null => Ok(default),
        Value::Bool(flag) => Ok(*flag),
        value => Err(wrong(key, value, Wanted::Flag)),
    }
}

fn expect_activation(
    json: &Value,
    key: &str,
    known: &[&'static str],
) -> Result<&'static str, ConfigError> {
    let name = match &json[key] {
        Value::Null => known[0],
        value => value.as_str().ok_or_else(|| wrong(key, value, Wanted::Name))?,
    };
    known.iter().copied().find(|k| *k == name).ok_or_else(|| ConfigError::Unsupported {
        field: key.to_owned(),
        name: name.to_owned(),
        known: known.to_vec(),
    })
}
