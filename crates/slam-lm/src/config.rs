//! Decoder configurations as Hugging Face's `config.json` writes them.

use crate::LmError;
use serde_json::{Map, Value, json};

/// A family of decoders: names of tensors and keys differ, the block is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Llama, SmolLM, TinyLlama.
    Llama,
    /// OPT, pre- or post-norm.
    Opt,
    /// GPT-NeoX: Pythia.
    GptNeox,
}

impl Family {
    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Llama => "llama",
            Self::Opt => "opt",
            Self::GptNeox => "gpt_neox",
        }
    }

    /// The class of transformers.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Llama => "LlamaForCausalLM",
            Self::Opt => "OPTForCausalLM",
            Self::GptNeox => "GPTNeoXForCausalLM",
        }
    }
}

/// The feed-forward layer's non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `silu(gate) * up`.
    SwiGlu,
    /// Rectified.
    Relu,
    /// Exact GELU.
    Gelu,
}

/// How rotary frequencies are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1's: low frequencies divided, high ones kept, smooth between.
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low` are low frequencies.
        low: f64,
        /// Wavelengths below `original / high` are high frequencies.
        high: f64,
        /// Positions of the original training.
        original: f64,
    },
}

/// A decoder's shape and constants.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the keys of config.json")]
pub struct DecoderConfig {
    /// The family.
    pub family: Family,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Number of query heads.
    pub num_heads: usize,
    /// Number of key/value heads.
    pub num_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Number of positions.
    pub max_positions: usize,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// How many of a head's dimensions rotate; 0 for learned positions (OPT).
    pub rotary_dim: usize,
    /// Whether the output head is the embedding.
    pub tie_embeddings: bool,
    /// Bias of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the attention's output projection.
    pub out_bias: bool,
    /// Bias of the feed-forward layer.
    pub mlp_bias: bool,
    /// The non-linearity.
    pub activation: Activation,
    /// Norm before each layer (else behind its residual sum: OPT-350M).
    pub pre_norm: bool,
    /// Norm behind the last block.
    pub final_norm: bool,
    /// Attention and feed-forward read the same input (GPT-NeoX).
    pub parallel_residual: bool,
    /// Width of the embedding (OPT-350M: 512 of 1024), else the hidden size.
    pub embed_dim: usize,
    /// Deviation of random weights.
    pub initializer_range: f64,
    /// Padding token, whose random embedding is zero.
    pub pad_token_id: Option<u32>,
    /// First token of a sequence.
    pub bos_token_id: Option<u32>,
    /// Last token of a sequence.
    pub eos_token_id: Option<u32>,
}

impl DecoderConfig {
    /// A Qwen2-shaped decoder with tied embeddings over unit tokens, rope theta 10,000.
    pub fn qwen2(
        vocab_size: usize,
        hidden_size: usize,
        intermediate_size: usize,
        num_layers: usize,
        num_heads: usize,
        num_kv_heads: usize,
        max_positions: usize,
    ) -> Self {
        let head_dim = hidden_size / num_heads.max(1);
        Self {
            family: Family::Qwen2,
            vocab_size,
            hidden_size,
            intermediate_size,
            num_layers,
            num_heads,
            num_kv_heads,
            head_dim,
            max_positions,
            norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            rotary_dim: head_dim,
            tie_embeddings: true,
            qkv_bias: true,
            out_bias: false,
            mlp_bias: false,
            activation: Activation::SwiGlu,
            pre_norm: true,
            final_norm: true,
            parallel_residual: false,
            embed_dim: hidden_size,
            initializer_range: 0.02,
            pad_token_id: Some(crate::PAD),
            bos_token_id: Some(crate::BOS),
            eos_token_id: Some(crate::BOS),
        }
    }

    /// The recipe's decoder: Qwen2.5-0.5B's shape over 500 units, 358,347,904 parameters.
    pub fn slam() -> Self {
        Self::qwen2(502, 896, 4864, 24, 14, 2, 32_768)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When a key is missing or has the wrong type, or asks for something this crate lacks: an
    /// unknown family, activation or rotary scaling, a sliding window.
    pub fn from_json(json: &Value) -> Result<Self, LmError> {
        let model_type = json["model_type"].as_str().unwrap_or("");
        let config = match model_type {
            "qwen2" | "llama" => Self::from_llama_json(json, model_type == "qwen2"),
            "opt" => Self::from_opt_json(json),
            "gpt_neox" => Self::from_neox_json(json),
            other => Err(LmError::Config(format!(
                "model_type `{other}` is not known; use qwen2, llama, opt or gpt_neox"
            ))),
        }?;
        config.check()?;
        Ok(config)
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// When a size is zero or does not divide as it must.
    pub fn check(&self) -> Result<(), LmError> {
        let bad = |what: &str| Err(LmError::Config(what.to_owned()));
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_heads,
            self.num_kv_heads,
            self.head_dim,
            self.max_positions,
            self.embed_dim,
        ];
        // Products of two sizes stay far below the address space.
        if sizes.iter().any(|n| *n == 0 || *n > 1 << 28) || self.num_layers > 1 << 16 {
            return bad("a size is zero or impossibly large");
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return bad("num_attention_heads is not a multiple of num_key_value_heads");
        }
        if !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > self.head_dim {
            return bad("the rotary dimensions are odd or more than the head has");
        }
        Ok(())
    }

    fn from_llama_json(json: &Value, qwen: bool) -> Result<Self, LmError> {
        let hidden = size(json, "hidden_size")?;
        let heads = size(json, "num_attention_heads")?;
        let head_dim = size_or(json, "head_dim", hidden / heads.max(1))?;
        if json["use_sliding_window"].as_bool() == Some(true) {
            return Err(LmError::Config("sliding windows are not supported".to_owned()));
        }
        expect_activation(json, "hidden_act", &["silu"])?;
        let attention_bias = flag(json, "attention_bias", false);
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
        config.norm_eps = number(json, "rms_norm_eps", 1e-6);
        config.tie_embeddings = flag(json, "tie_word_embeddings", false);
        config.qkv_bias = qwen || attention_bias;
        config.out_bias = !qwen && attention_bias;
        config.mlp_bias = flag(json, "mlp_bias", false);
        config.read_rope(json)?;
        config.read_tokens(json);
        Ok(config)
    }

    fn from_opt_json(json: &Value) -> Result<Self, LmError> {
        let hidden = size(json, "hidden_size")?;
        let heads = size(json, "num_attention_heads")?;
        if !flag(json, "layer_norm_elementwise_affine", true) {
            return Err(LmError::Config("norms without weights are not supported".to_owned()));
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
        config.tie_embeddings = flag(json, "tie_word_embeddings", true);
        let bias = flag(json, "enable_bias", true);
        (config.qkv_bias, config.out_bias, config.mlp_bias) = (bias, bias, bias);
        config.activation = activation;
        config.pre_norm = flag(json, "do_layer_norm_before", true);
        config.final_norm = config.pre_norm && !flag(json, "_remove_final_layer_norm", false);
        config.embed_dim = size_or(json, "word_embed_proj_dim", hidden)?;
        config.read_tokens(json);
        config.initializer_range = number(json, "init_std", 0.02);
        Ok(config)
    }

    fn from_neox_json(json: &Value) -> Result<Self, LmError> {
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
        config.norm_eps = number(json, "layer_norm_eps", 1e-5);
        config.tie_embeddings = flag(json, "tie_word_embeddings", false);
        let bias = flag(json, "attention_bias", true);
        (config.qkv_bias, config.out_bias, config.mlp_bias) = (bias, bias, true);
        config.activation = if activation == "relu" { Activation::Relu } else { Activation::Gelu };
        config.parallel_residual = flag(json, "use_parallel_residual", true);
        config.rope_theta = number(json, "rotary_emb_base", 10_000.0);
        config.read_rope(json)?;
        let rope = &json["rope_parameters"];
        let share =
            [&json["rotary_pct"], &json["partial_rotary_factor"], &rope["partial_rotary_factor"]]
                .iter()
                .find_map(|v| v.as_f64())
                .unwrap_or(0.25);
        config.rotary_dim = (config.head_dim as f64 * share + 1e-6) as usize;
        config.read_tokens(json);
        Ok(config)
    }

    fn read_rope(&mut self, json: &Value) -> Result<(), LmError> {
        // transformers 5 writes both into `rope_parameters`.
        let newer = &json["rope_parameters"];
        let theta = json["rope_theta"].as_f64().or(newer["rope_theta"].as_f64());
        self.rope_theta = theta.unwrap_or(self.rope_theta);
        let scaling = if newer.is_object() { newer } else { &json["rope_scaling"] };
        let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default");
        let need = |key: &str| {
            scaling[key]
                .as_f64()
                .ok_or_else(|| LmError::Config(format!("rotary scaling `{kind}` lacks `{key}`")))
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
            other => {
                return Err(LmError::Config(format!(
                    "rotary scaling `{other}` is not supported; use default, linear or llama3"
                )));
            }
        };
        Ok(())
    }

    fn read_tokens(&mut self, json: &Value) {
        let id = |key: &str| json[key].as_u64().and_then(|id| u32::try_from(id).ok());
        self.pad_token_id = id("pad_token_id");
        self.bos_token_id = id("bos_token_id");
        self.eos_token_id = id("eos_token_id");
        self.initializer_range = number(json, "initializer_range", 0.02);
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
        }
        Value::Object(json)
    }
}

fn size(json: &Value, key: &str) -> Result<usize, LmError> {
    json[key]
        .as_u64()
        .map(|n| n as usize)
        .ok_or_else(|| LmError::Config(format!("`{key}` is missing or no whole number")))
}

fn size_or(json: &Value, key: &str, default: usize) -> Result<usize, LmError> {
    if json[key].is_null() { Ok(default) } else { size(json, key) }
}

fn number(json: &Value, key: &str, default: f64) -> f64 {
    json[key].as_f64().unwrap_or(default)
}

fn flag(json: &Value, key: &str, default: bool) -> bool {
    json[key].as_bool().unwrap_or(default)
}

fn expect_activation<'a>(json: &Value, key: &str, known: &[&'a str]) -> Result<&'a str, LmError> {
    let name = json[key].as_str().unwrap_or(known[0]);
    known.iter().copied().find(|k| *k == name).ok_or_else(|| {
        LmError::Config(format!("{key} `{name}` is not supported; use {}", known.join(" or ")))
    })
}
