//! What continuing a recording is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::tokeniser::FeatureConfig;
use crate::work::Input;

/// Prompts to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// The model's folder.
    pub checkpoint: PathBuf,
    /// Recordings, or JSON files with a list of units.
    pub prompts: Vec<PathBuf>,
    /// Seconds of each recording that are the prompt; the whole where absent.
    pub prompt_seconds: Option<f64>,
    /// What makes units of recordings; none where all prompts are units.
    pub tokeniser: Option<TokeniserFiles>,
    /// Units to add at most.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest unit each time.
    pub temperature: f64,
    /// Only so many of the likeliest units are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the likeliest units whose probabilities reach this are drawn from.
    pub top_p: f64,
    /// Makes units that were there before less likely; 1 for no effect.
    pub repetition_penalty: f64,
    /// The seed of the draws.
    pub seed: u64,
    /// Where the continuations go, as JSON.
    pub out: Option<PathBuf>,
    /// When units are reported.
    pub reporting: Reporting,
}

/// A tokeniser and its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokeniserFiles {
    /// Its name.
    pub name: String,
    /// Its feature extractor.
    pub features: FeatureConfig,
    /// Its centroids, then its weights.
    pub files: Vec<Input>,
    /// What relative paths of files are below.
    pub root: PathBuf,
}

/// When the units of a continuation are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reporting {
    /// All at the end.
    AtEnd,
    /// Each as it is drawn.
    Streamed,
}
