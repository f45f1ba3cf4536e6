//! How scores are made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a pair's likelihoods are compared and how pairs become a suite's score. Chance is ½ in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Mean negative log-likelihood over units and the final `<S>`; the mean over all pairs of all voices.
    Slamkit,
    /// The submitted score, which for our own models is slamkit's with its sign turned; voices are averaged
    /// per item first, then items (Nguyen et al. 2020, the ZeroSpeech 2021 toolkit).
    Zerospeech,
    /// Slamkit's without the final `<S>`; sBLIMP is the mean of its phenomena (Cuervo and Marxer 2024).
    SlmScaling,
}

impl Convention {
    /// All conventions.
    pub const ALL: [Self; 3] = [Self::Slamkit, Self::Zerospeech, Self::SlmScaling];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slamkit => "slamkit",
            Self::Zerospeech => "zerospeech",
            Self::SlmScaling => "slm-scaling",
        }
    }
}

/// A text that names no convention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no convention '{0}'; there are slamkit, zerospeech and slm-scaling")]
pub struct NoSuchConvention(String);

impl std::str::FromStr for Convention {
    type Err = NoSuchConvention;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|c| c.name() == text);
        named.ok_or_else(|| NoSuchConvention(text.to_owned()))
    }
}

/// Which pairs to score during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Benchmark shards.
    pub shards: Vec<PathBuf>,
    /// Pairs of each shard, evenly over it; 0 for all.
    pub pairs: usize,
    /// Where it is missing, as each suite's published scores are computed.
    #[serde(default)]
    pub convention: Option<Convention>,
}

/// The services that measure continuations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// The vocoder: a command that reads `{"units": […]}` and writes a WAV file.
    pub vocoder: String,
    /// Speech to text, e.g. `whisper-large-v3-turbo`.
    pub transcription: Service,
    /// A text model with log-probabilities, e.g. `meta-llama/Llama-3.2-1B`.
    pub completion: Service,
}

/// An endpoint and its model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The base of the address, e.g. `http://localhost:8000/v1`.
    pub url: String,
    /// The model's name, as the service knows it.
    pub model: String,
    /// The environment variable that holds the key, where the service wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_from: Option<String>,
}

/// Who submits what: the fields of a ZeroSpeech submission's `meta.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubmissionMeta {
    /// What the system is.
    pub system_description: String,
    /// What it was trained on.
    pub train_set: String,
    /// GPU hours.
    pub gpu_budget: String,
    /// A short label, e.g. `Author et al.`.
    pub author_label: String,
    /// Full names, with commas.
    pub authors: String,
    /// The year.
    pub publication_year: u32,
    /// University or company.
    pub institution: String,
}
