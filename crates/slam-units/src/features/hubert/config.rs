//! The architecture of a HuBERT checkpoint, from its `config.json`.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// What a HuBERT's `config.json` says about its shape; what does not bear on inference is ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are those of config.json")]
pub struct HubertConfig {
    model_type: String,
    /// Width of the transformer.
    pub hidden_size: usize,
    /// Blocks of the transformer.
    pub num_hidden_layers: usize,
    /// Attention heads of a block.
    pub num_attention_heads: usize,
    /// Inner width of a feed-forward.
    pub intermediate_size: usize,
    /// Channels of each convolution of the frontend.
    pub conv_dim: Vec<usize>,
    /// Kernel of each convolution, in frames of the one before.
    pub conv_kernel: Vec<usize>,
    /// Stride of each convolution.
    pub conv_stride: Vec<usize>,
    /// Whether the convolutions have a bias.
    #[serde(default)]
    pub conv_bias: bool,
    /// `group`: the first convolution's channels are normalised over time; `layer`: every frame of each.
    #[serde(default = "group")]
    pub feat_extract_norm: String,
    #[serde(default = "gelu")]
    feat_extract_activation: String,
    #[serde(default = "gelu")]
    hidden_act: String,
    /// Whether the projection into the transformer starts with a layer norm.
    #[serde(default = "yes")]
    pub feat_proj_layer_norm: bool,
    /// Kernel of the positional convolution, in frames.
    #[serde(default = "pos_kernel")]
    pub num_conv_pos_embeddings: usize,
    /// Groups of the positional convolution.
    #[serde(default = "pos_groups")]
    pub num_conv_pos_embedding_groups: usize,
    /// A batch norm before the positional convolution in place of its weight norm.
    #[serde(default)]
    pub conv_pos_batch_norm: bool,
    /// Norms before attention and feed-forward, not after.
    #[serde(default)]
    pub do_stable_layer_norm: bool,
    /// Added to variances.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    adapter_attn_dim: Option<usize>,
}

fn group() -> String {
    "group".to_owned()
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn yes() -> bool {
    true
}

fn pos_kernel() -> usize {
    128
}

fn pos_groups() -> usize {
    16
}

fn eps() -> f64 {
    1e-5
}

/// No kernel, stride or width of a real model is larger; a file that says so is broken.
const MAX_SIZE: usize = 1 << 16;

impl HubertConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is no HuBERT, or asks for something this implementation has not. The
    /// message names the file and the field.
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let bytes = fs::read(path).map_err(|e| named(&e))?;
        let config: Self = serde_json::from_slice(&bytes).map_err(|e| named(&e))?;
        config.check().map_err(|e| named(&e))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.model_type != "hubert" {
            return Err(format!("model_type is '{}', expected 'hubert'", self.model_type));
        }
        let layers = self.conv_dim.len();
        if layers == 0 || self.conv_kernel.len() != layers || self.conv_stride.len() != layers {
            return Err("conv_dim, conv_kernel and conv_stride must be of one length".into());
        }
        let sizes = [&self.conv_dim, &self.conv_kernel, &self.conv_stride];
        let widths = [
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_conv_pos_embeddings,
            self.num_conv_pos_embedding_groups,
        ];
        if sizes.into_iter().flatten().chain(&widths).any(|&s| s == 0 || s > MAX_SIZE) {
            return Err(format!("a size is 0 or above {MAX_SIZE}"));
        }
        if self.conv_kernel.iter().zip(&self.conv_stride).any(|(k, s)| k < s) {
            return Err("a convolution's stride is longer than its kernel".into());
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("hidden_size is no multiple of num_attention_heads".into());
        }
        if !self.hidden_size.is_multiple_of(self.num_conv_pos_embedding_groups) {
            return Err("hidden_size is no multiple of num_conv_pos_embedding_groups".into());
        }
        if !["group", "layer"].contains(&self.feat_extract_norm.as_str()) {
            return Err(format!(
                "feat_extract_norm is '{}': group or layer",
                self.feat_extract_norm
            ));
        }
        for (field, value) in [
            ("feat_extract_activation", &self.feat_extract_activation),
            ("hidden_act", &self.hidden_act),
        ] {
            if value != "gelu" {
                return Err(format!("{field} is '{value}'; only gelu is implemented"));
            }
        }
        if self.adapter_attn_dim.is_some() {
            return Err("adapter_attn_dim: adapters are not implemented".into());
        }
        self.hop().zip(self.receptive_field()).map(drop).ok_or("the strides overflow".to_owned())
    }

    /// Samples between frames.
    pub fn hop(&self) -> Option<usize> {
        self.conv_stride.iter().try_fold(1usize, |hop, s| hop.checked_mul(*s))
    }

    /// Samples that one frame of the frontend sees.
    pub fn receptive_field(&self) -> Option<usize> {
        let mut layers = self.conv_kernel.iter().zip(&self.conv_stride).rev();
        layers.try_fold(1usize, |seen, (k, s)| (seen - 1).checked_mul(*s)?.checked_add(*k))
    }
}
