//! Sources that are no speech: units of other programs, and pairs that are made of units.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::split::train;

/// Unit sequences that another program made: slamkit's JSON lines, or unit shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitFiles {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// How many units the tokeniser has.
    pub k: u32,
    /// Frames a second before deduplication.
    pub units_per_second: f64,
    /// The split of every row.
    #[serde(default = "train")]
    pub split: String,
}

/// slamkit's JSON lines of pairs, which are unitised already.
///
/// In a pipeline `units_of` names a dataset whose unit shards say what the lines do not: their units are of the
/// same tokeniser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlamkitPairs {
    /// A folder of `.jsonl` files, or one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// A dataset whose units are of the lines' tokeniser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_of: Option<String>,
    /// The tokeniser's name; files that were imported under the same name belong together.
    pub tokeniser: String,
    /// How many units it has.
    pub k: u32,
    /// Frames a second before deduplication.
    pub units_per_second: f64,
}

impl Default for SlamkitPairs {
    /// The recipe's tokeniser, by the name that `import slamkit` gives it.
    fn default() -> Self {
        Self {
            folder: None,
            units_of: None,
            tokeniser: "hubert-25hz".into(),
            k: 500,
            units_per_second: 25.0,
        }
    }
}

/// Each story's own continuation against another's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnContinuation {
    /// The dataset of the stories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The split of the stories that are taken.
    pub split: String,
    /// The seed of the cuts and of the other stories.
    pub seed: u64,
    /// Where stories are cut.
    pub cut: Cut,
    /// The least share of the longer continuation that the shorter must have; both are cut to the shorter.
    pub min_length_ratio: f64,
}

impl Default for OwnContinuation {
    fn default() -> Self {
        Self { of: None, split: train(), seed: 0, cut: Cut::default(), min_length_ratio: 0.8 }
    }
}

/// A model's own continuations, ranked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// The dataset of the prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The model's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// What ranks the continuations.
    pub scorer: ScorerConfig,
    /// Which score is the better one.
    #[serde(default)]
    pub better: Better,
    /// The least difference of the best and the worst score; prompts with less are left out.
    #[serde(default)]
    pub min_margin: f64,
    /// The split of the rows whose beginnings are the prompts.
    #[serde(default = "train")]
    pub split: String,
    /// Most prompts of a shard, by a draw; 0 for all.
    #[serde(default)]
    pub prompts: usize,
    /// Continuations of a prompt.
    #[serde(default = "five")]
    pub samples: usize,
    /// The seed of the prompts and of the continuations.
    #[serde(default)]
    pub seed: u64,
    /// Where rows are cut.
    #[serde(default)]
    pub cut: Cut,
    /// How continuations are drawn.
    #[serde(default)]
    pub sampling: Sampling,
}

fn five() -> usize {
    5
}

/// Which score is the better one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher, as of a judge's mark.
    #[default]
    Higher,
    /// The lower, as of a perplexity.
    Lower,
}

/// How continuations are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Most units of a continuation.
    pub max_units: usize,
    /// Divides the logits.
    pub temperature: f64,
    /// Keeps the `k` likeliest units; 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest units whose probabilities reach `p`; 1 keeps all.
    pub top_p: f64,
    /// Divides positive and multiplies negative logits of units seen; 1 for none.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// The recipe's way of generating.
    fn default() -> Self {
        Self { max_units: 150, temperature: 0.8, top_k: 25, top_p: 1.0, repetition_penalty: 1.1 }
    }
}

/// How sequences are cut. Where a sequence's words are known, it is cut behind a word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cut {
    /// The share of a sequence that is its prompt, drawn evenly between these two.
    pub prompt_share: (f64, f64),
    /// Most units of a prompt, whose last are kept; 0 for all.
    pub max_prompt_units: usize,
    /// Fewest units of a prompt; shorter ones are left out.
    pub min_prompt_units: usize,
    /// Most units of a continuation, whose first are kept; 0 for all.
    pub max_continuation_units: usize,
    /// Fewest units of a continuation; shorter ones are left out.
    pub min_continuation_units: usize,
}

impl Default for Cut {
    /// About half of a sequence; both parts of a second of speech or more, continuations of up to ten.
    fn default() -> Self {
        Self {
            prompt_share: (0.4, 0.6),
            max_prompt_units: 500,
            min_prompt_units: 20,
            max_continuation_units: 200,
            min_continuation_units: 20,
        }
    }
}

/// Which scorer. Part of a shard's key: where the program behind it changes, raise `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorerConfig {
    /// A command run by `sh -c`, one process a shard: a request a line in, an answer a line out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// An HTTP address: a request is a POST of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the scores are of, so that another model behind the same command makes other shards.
    #[serde(default)]
    pub version: String,
    /// Seconds that an answer may take.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: f64,
}

fn timeout_seconds() -> f64 {
    120.0
}
