//! What converting is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::work::WorkUnit;

/// What to convert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConvertRequest {
    /// A checkpoint to another form.
    Checkpoint {
        /// The checkpoint's folder.
        checkpoint: PathBuf,
        /// The folder to write.
        out: PathBuf,
        /// The form to write.
        form: CheckpointForm,
        /// Tensors that may differ.
        allow: Vec<String>,
    },
    /// A text model to a unit model (TWIST).
    Twist {
        /// The text model's folder.
        text_model: PathBuf,
        /// The folder to write.
        out: PathBuf,
        /// Units; `<PAD>` and `<S>` come on top.
        units: usize,
        /// Base of the rotary frequencies; the text model's where absent.
        rope_theta: Option<f64>,
        /// Positions; the text model's where absent.
        max_positions: Option<usize>,
        /// Whether the head is the embedding; as in the text model where absent.
        tie_embeddings: Option<bool>,
        /// Tensors that may differ.
        allow: Vec<String>,
        /// Seed of what the text model does not have.
        seed: u64,
    },
    /// Unit shards to slamkit's JSON lines.
    Units {
        /// The shards.
        shards: Vec<PathBuf>,
        /// Which of slamkit's forms.
        form: UnitsForm,
        /// The file to write.
        out: PathBuf,
    },
    /// slamkit's JSON lines to a unit shard.
    Lines {
        /// The shard to make.
        unit: Box<WorkUnit>,
        /// The data root.
        root: PathBuf,
    },
}

/// Forms of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointForm {
    /// slamkit's `UnitLM`.
    Slamkit,
    /// transformers' `AutoModelForCausalLM`.
    HuggingFace,
}

/// Which of slamkit's two forms of unit sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitsForm {
    /// `{"units": [3, 49], "duration": [2, 1], "file_name": "a"}`
    Features,
    /// `{"file_name": "a", "audio_repr": "<Un3><Un49>"}`
    Tokens,
}
