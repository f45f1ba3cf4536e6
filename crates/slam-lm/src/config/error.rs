//! What a configuration has wrong.

use std::fmt;

/// A `config.json` that is no model's, or a model's that this crate lacks.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not JSON.
    #[error("not JSON ({0}); copy the checkpoint again")]
    Json(#[from] serde_json::Error),
    /// A field is missing or of another type.
    #[error("`{field}` is {found}; it must be {wanted}")]
    Field {
        /// The field; behind a dot where it is one of a table's.
        field: String,
        /// What it is.
        found: Found,
        /// What it must be.
        wanted: Wanted,
    },
    /// The family is not one of ours.
    #[error("model_type `{0}` is not known; use qwen2, llama, opt or gpt_neox")]
    Family(String),
    /// A name that stands for something this crate lacks.
    #[error("{field} `{name}` is not supported; use {}", known.join(" or "))]
    Unsupported {
        /// The field.
        field: String,
        /// What it names.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A sliding window.
    #[error(
        "sliding windows are not supported; set `use_sliding_window` to false where sequences are shorter \
         than the window"
    )]
    SlidingWindow,
    /// OPT's norms without weights.
    #[error("norms without weights (`layer_norm_elementwise_affine`) are not supported")]
    NormsWithoutWeights,
    /// A share of the head that rotates is no share.
    #[error("the rotary share {0} is not within 0 and 1")]
    RotaryShare(f64),
    /// A rotary scaling that this crate lacks.
    #[error(
        "rotary scaling `{0}` is not supported; use default, linear, dynamic, llama3 or yarn, or take \
         `rope_scaling` out where sequences stay below the original positions"
    )]
    RopeScaling(String),
    /// A rotary scaling without one of its numbers.
    #[error(
        "rotary scaling `{kind}` lacks the number `{field}`; copy it from the model's own configuration"
    )]
    RopeScalingLacks {
        /// The kind of scaling.
        kind: String,
        /// What it lacks.
        field: String,
    },
    /// Sizes that make no model.
    #[error(transparent)]
    Sizes(#[from] SizeError),
    /// slamkit's form without the decoder's own configuration.
    #[error(
        "speech_language_model without a `base_config`; save the checkpoint with slamkit again"
    )]
    NoBase,
    /// A version of slm_scaling's form that is not known.
    #[error(
        "format_version {0} of slm_scaling is not known; convert the checkpoint with its slm-convert"
    )]
    SlmScalingVersion(serde_json::Value),
    /// slm_scaling's models with prefix tokens.
    #[error("models with prefix tokens (`prefix_vocab_size`) are not supported")]
    PrefixTokens,
    /// A vocabulary that leaves no room for units, or too much.
    #[error("a vocabulary of {vocab} with {others} other tokens is not one of 1 to 65,536 units")]
    Units {
        /// Rows of the embedding.
        vocab: usize,
        /// Those that are no units.
        others: usize,
    },
    /// TWIST's offset lies outside the vocabulary.
    #[error("`offset` is {0}, not a row of the vocabulary")]
    Offset(serde_json::Value),
    /// A text model was asked for, and this is a unit model.
    #[error("this is a unit model already; load it as it is, without TWIST")]
    UnitsAlready,
    /// Learned positions are asked to be more or fewer.
    #[error("learned positions can't be resized; leave out the number of positions")]
    LearnedPositions,
}

/// What a field is that should be something else.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Not there.
    Missing,
    /// This value.
    Value(serde_json::Value),
}

impl From<&serde_json::Value> for Found {
    fn from(value: &serde_json::Value) -> Self {
        if value.is_null() { Self::Missing } else { Self::Value(value.clone()) }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A name.
    Name,
    /// A table, or null.
    Table,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Name => "a name",
            Self::Table => "a table or null",
        })
    }
}

/// Sizes that do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// One is zero or impossibly large.
    #[error("a size is zero or impossibly large")]
    Impossible,
    /// All together are impossibly large.
    #[error("the sizes make an impossibly large model")]
    Parameters,
    /// Query heads cannot share key heads evenly.
    #[error("num_attention_heads is not a multiple of num_key_value_heads")]
    KeyHeads,
    /// Rotary dimensions are no pairs within the head.
    #[error("the rotary dimensions are odd or more than the head has")]
    Rotary,
    /// Heads do not fill the width.
    #[error("hidden_size is not a multiple of num_attention_heads")]
    Heads,
    /// The rotary base or scaling is no positive number.
    #[error("the rotary base or scaling is not positive, or its bands are out of order")]
    RotaryBase,
    /// A constant is negative or no number.
    #[error("a norm's epsilon or the initialiser's range is negative or not finite")]
    Constants,
}
