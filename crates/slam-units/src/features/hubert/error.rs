//! HuBERTs that cannot be loaded.

use std::io;
use std::path::PathBuf;

use slam_nn::weights::WeightsError;

/// A HuBERT that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum HubertError {
    /// The configuration cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The configuration is not JSON, or lacks a field.
    #[error("{path}: {source}; is this the config.json of a HuBERT?", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The configuration is of something else than this implementation computes.
    #[error("{path}: {source}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigFault,
    },
    /// The weights are missing, cannot be read, or do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A layer that the model does not have.
    #[error("hubert.layer is {layer}: the model has {layers} layers")]
    Layer {
        /// What was asked for.
        layer: usize,
        /// Blocks of the model.
        layers: usize,
    },
    /// Windows that cannot be joined.
    #[error(
        "hubert.window is {window} and hubert.overlap {overlap}: a window must hold two overlaps, an \
         overlap two frames"
    )]
    Windows {
        /// Frames of a window.
        window: usize,
        /// Frames that two windows share.
        overlap: usize,
    },
    /// More silence around an utterance than makes sense.
    #[error("hubert.pad is {pad:?}: at most {most} samples on either side")]
    Pad {
        /// What was asked for.
        pad: [usize; 2],
        /// As many are taken.
        most: usize,
    },
}

/// What is wrong with a HuBERT's `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Another model.
    #[error("model_type is '{0}', expected 'hubert'")]
    ModelType(String),
    /// The lists of the convolutions' sizes.
    #[error("conv_dim, conv_kernel and conv_stride must be of one length, at least 1")]
    Convolutions,
    /// A width, a kernel or a stride.
    #[error("{field}: a size is {size}, must be 1 to {most}")]
    Size {
        /// The field.
        field: &'static str,
        /// What it says.
        size: usize,
        /// The largest size of a real model, and more.
        most: usize,
    },
    /// Samples that no frame would see.
    #[error("conv_stride[{convolution}] is longer than its kernel")]
    Stride {
        /// Which convolution, from 0.
        convolution: usize,
    },
    /// The transformer's width does not divide evenly.
    #[error("hidden_size is no multiple of {by}")]
    Uneven {
        /// The field that should divide it.
        by: &'static str,
    },
    /// A norm that no HuBERT has.
    #[error("feat_extract_norm is '{0}': group or layer")]
    Norm(String),
    /// An activation that is not implemented.
    #[error("{field} is '{value}'; only gelu is implemented")]
    Activation {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// Adapters are not implemented.
    #[error("adapter_attn_dim: adapters are not implemented")]
    Adapters,
    /// Strides whose product is no number.
    #[error("conv_stride: the strides overflow")]
    Overflow,
}
