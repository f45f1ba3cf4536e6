//! Decoder configurations as Hugging Face's `config.json` writes them.

mod error;
mod json;

pub use error::{ConfigError, Found, SizeError, Wanted};

/// No public decoder comes near these: a file that claims more is damaged or hostile.
const MAX_SIZE: usize = 1 << 28;
const MAX_LAYERS: usize = 1 << 12;
const MAX_HEAD_DIM: usize = 1 << 16;
const MAX_PARAMETERS: u128 = 1 << 40;

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
    /// The base grows with sequences that exceed the model's positions (`dynamic`). This crate takes none
    /// beyond them, and up to there it is no scaling; the factor is kept for programs that go on.
    Dynamic {
        /// How fast the base grows.
        factor: f64,
    },
    /// `YaRN` (Peng et al. 2023): fast rotations kept, slow ones divided, a ramp between, attention sharpened.
    Yarn {
        /// Divides the frequencies of slow rotations.
        factor: f64,
        /// Positions of the original training.
        original: f64,
        /// Dimensions that rotate oftener within the original positions are kept.
        beta_fast: f64,
        /// Dimensions that rotate more seldom are divided.
        beta_slow: f64,
        /// Factor on cosines and sines.
        attention: f64,
        /// Whether the ramp begins and ends at whole dimensions.
        truncate: bool,
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
    /// Hub name of the text model that slamkit takes the base configuration's class from; the
    /// family's smallest public one where absent.
    pub base_model: Option<String>,
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
            base_model: None,
        }
    }

    /// The recipe's decoder: Qwen2.5-0.5B's shape over 500 units, 358,347,904 parameters.
    pub fn slam() -> Self {
        Self::qwen2(502, 896, 4864, 24, 14, 2, 32_768)
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// When a size is zero or does not divide as it must.
    pub fn check(&self) -> Result<(), SizeError> {
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
        if sizes.iter().any(|n| *n == 0 || *n > MAX_SIZE)
            || self.num_layers > MAX_LAYERS
            || self.head_dim > MAX_HEAD_DIM
        {
            return Err(SizeError::Impossible);
        }
        let wide = |n: usize| n as u128;
        let heads = wide(self.num_heads + 2 * self.num_kv_heads) * wide(self.head_dim);
        let block = wide(self.hidden_size) * (heads + 3 * wide(self.intermediate_size));
        let tables = wide(self.vocab_size + self.max_positions) * wide(self.hidden_size);
        if wide(self.num_layers) * block + tables > MAX_PARAMETERS {
            return Err(SizeError::Parameters);
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(SizeError::KeyHeads);
        }
        if !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > self.head_dim {
            return Err(SizeError::Rotary);
        }
        let split = matches!(self.family, Family::Opt | Family::GptNeox);
        if split && self.num_heads * self.head_dim != self.hidden_size {
            return Err(SizeError::Heads);
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let scaling = match self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor } => positive(factor),
            RopeScaling::Llama3 { factor, low, high, original } => {
                [factor, low, high, original].into_iter().all(positive) && low < high
            }
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention, .. } => {
                [factor, original, beta_fast, beta_slow, attention].into_iter().all(positive)
                    && beta_slow < beta_fast
            }
        };
        if !(scaling && positive(self.rope_theta)) {
            return Err(SizeError::RotaryBase);
        }
        let constants = [self.norm_eps, self.initializer_range];
        if constants.iter().any(|x| !(x.is_finite() && *x >= 0.0)) {
            return Err(SizeError::Constants);
        }
        Ok(())
    }
}
