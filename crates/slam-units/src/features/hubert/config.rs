//! The architecture of a HuBERT checkpoint, from its `config.json`.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::error::{ConfigFault, HubertError};

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
    /// If the file cannot be read, is no HuBERT, or asks for something this implementation has not.
    pub fn read(path: &Path) -> Result<Self, HubertError> {
        let named = || path.to_owned();
        let bytes = fs::read(path).map_err(|source| HubertError::Read { path: named(), source })?;
        let config: Self = serde_json::from_slice(&bytes)
            .map_err(|source| HubertError::Json { path: named(), source })?;
        config.check().map_err(|source| HubertError::Config { path: named(), source })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigFault> {
        if self.model_type != "hubert" {
            return Err(ConfigFault::ModelType(self.model_type.clone()));
        }
        let layers = self.conv_dim.len();
        if layers == 0 || self.conv_kernel.len() != layers || self.conv_stride.len() != layers {
            return Err(ConfigFault::Convolutions);
        }
        let one = std::slice::from_ref;
        for (field, sizes) in [
            ("conv_dim", self.conv_dim.as_slice()),
            ("conv_kernel", self.conv_kernel.as_slice()),
            ("conv_stride", self.conv_stride.as_slice()),
            ("hidden_size", one(&self.hidden_size)),
            ("intermediate_size", one(&self.intermediate_size)),
            ("num_attention_heads", one(&self.num_attention_heads)),
            ("num_conv_pos_embeddings", one(&self.num_conv_pos_embeddings)),
            ("num_conv_pos_embedding_groups", one(&self.num_conv_pos_embedding_groups)),
        ] {
            if let Some(&size) = sizes.iter().find(|&&s| s == 0 || s > MAX_SIZE) {
                return Err(ConfigFault::Size { field, size, most: MAX_SIZE });
            }
        }
        let mut convolutions = self.conv_kernel.iter().zip(&self.conv_stride);
        if let Some(convolution) = convolutions.position(|(kernel, stride)| kernel < stride) {
            return Err(ConfigFault::Stride { convolution });
        }
        for (by, parts) in [
            ("num_attention_heads", self.num_attention_heads),
            ("num_conv_pos_embedding_groups", self.num_conv_pos_embedding_groups),
        ] {
            if !self.hidden_size.is_multiple_of(parts) {
                return Err(ConfigFault::Uneven { by });
            }
        }
        if !["group", "layer"].contains(&self.feat_extract_norm.as_str()) {
            return Err(ConfigFault::Norm(self.feat_extract_norm.clone()));
        }
        for (field, value) in [
            ("feat_extract_activation", &self.feat_extract_activation),
            ("hidden_act", &self.hidden_act),
        ] {
            if value != "gelu" {
                return Err(ConfigFault::Activation { field, value: value.clone() });
            }
        }
        if self.adapter_attn_dim.is_some() {
            return Err(ConfigFault::Adapters);
        }
        let mut layers = self.conv_kernel.iter().zip(&self.conv_stride);
        let sizes = layers.try_fold((1usize, 1usize), |(hop, seen), (kernel, stride)| {
            let seen = (kernel - 1).checked_mul(hop)?.checked_add(seen)?;
            Some((hop.checked_mul(*stride)?, seen))
        });
        sizes.map(drop).ok_or(ConfigFault::Overflow)
    }

    /// Samples between frames.
    pub fn hop(&self) -> usize {
        self.conv_stride.iter().product()
    }

    /// Samples that one frame of the frontend sees.
    pub fn receptive_field(&self) -> usize {
        let layers = self.conv_kernel.iter().zip(&self.conv_stride).rev();
        layers.fold(1, |seen, (kernel, stride)| (seen - 1) * stride + kernel)
    }
}
