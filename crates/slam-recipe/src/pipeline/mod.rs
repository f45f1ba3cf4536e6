//! Pipeline files: the whole recipe, from data to scores.

mod check;
mod fault;
mod layers;
mod preset;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::evaluation::Convention;
use crate::params::PairFilter;
use crate::source::Source;
use crate::tokeniser::Tokeniser;
use crate::training::{Budget, DpoConfig, PretrainConfig};

pub use fault::{PairsError, PipelineFault};
pub use layers::OverrideError;
pub use preset::PresetError;

/// A pipeline: the whole recipe, from data to scores. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The name, also of the run.
    pub name: String,
    /// What data to make, and how.
    #[serde(default)]
    pub datasets: Vec<Dataset>,
    /// What turns speech into units.
    pub tokeniser: Tokeniser,
    /// The decoder.
    #[serde(default)]
    pub model: Model,
    /// Pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Pretraining>,
    /// Preference optimisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<PreferenceOptimisation>,
    /// Scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate: Option<Evaluation>,
}

/// One dataset of utterances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The folder's name under the data root.
    pub name: String,
    /// What it is for; decides which stages follow unitise.
    #[serde(default)]
    pub role: Role,
    /// How many shards to cut it into.
    #[serde(default = "one")]
    pub shards: u32,
    /// Bytes of a corpus shard that is made of files, about [default: 256 MiB].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_bytes: Option<u64>,
    /// Recordings longer than this are cut by voice activity; 0 cuts none [default: 30 for recordings in folders].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Rows of a generated source, divided evenly over the shards.
    #[serde(default)]
    pub rows: u64,
    /// Where it comes from.
    pub source: Source,
    /// The licence of the data, for the report.
    #[serde(default)]
    pub licence: String,
}

impl Dataset {
    /// A dataset of a source, with the defaults of a pipeline file.
    pub fn new(name: impl Into<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            role: Role::default(),
            shards: one(),
            shard_bytes: None,
            max_seconds: None,
            rows: 0,
            source,
            licence: String::new(),
        }
    }
}

/// What a dataset is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Pre-training and validation.
    #[default]
    Speech,
    /// Prompt, chosen and rejected utterances.
    Preference,
    /// Positive and negative utterances.
    Benchmark,
}

/// The decoder: a Hugging Face `config.json` in TOML, a checkpoint to start from, or both, which then must agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The folder of the weights to start from; random weights where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PathBuf>,
    /// The configuration, in transformers' own fields; each family checks its own.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

/// Pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// The datasets to train on.
    pub datasets: Vec<String>,
    /// How.
    pub params: PretrainConfig,
}

/// Preference optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceOptimisation {
    /// The datasets of pairs.
    pub datasets: Vec<String>,
    /// How.
    pub params: DpoConfig,
    /// Which pairs are left out.
    #[serde(default)]
    pub pair: PairFilter,
    /// Without pre-training: the folder of the checkpoint to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
}

/// What to score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The benchmark datasets.
    pub datasets: Vec<String>,
    /// How.
    #[serde(default)]
    pub params: EvaluationParams,
    /// Benchmark datasets that are scored at each validation of a training run too.
    #[serde(default)]
    pub during_training: Vec<String>,
    /// How many pairs of each, evenly over it; 0 for all.
    #[serde(default = "few")]
    pub during_training_pairs: usize,
}

/// How pairs are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationParams {
    /// How pairs are compared; where it is missing, as each suite's published scores do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convention: Option<Convention>,
}

fn few() -> usize {
    200
}

fn one() -> u32 {
    1
}

/// Which of a file's values are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The file's own.
    #[default]
    Full,
    /// With those of its `quick` table laid over them: a run that only shows that everything works.
    Quick,
}

/// A pipeline file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// It cannot be read.
    #[error("failed to read pipeline {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML.
    #[error("pipeline {path}: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: Box<toml::de::Error>,
    },
    /// A number of it is infinite or none.
    #[error("pipeline {path}: {field} is not a finite number")]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The field's path.
        field: String,
    },
    /// It is no pipeline: a field is unknown, missing or of another type.
    #[error("pipeline {path}: {source}")]
    Field {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field's path.
        source: serde_path_to_error::Error<serde_json::Error>,
    },
    /// An override that cannot be applied.
    #[error("--set {text}: {source}")]
    Override {
        /// What was given.
        text: String,
        /// What is wrong.
        source: OverrideError,
    },
    /// Its tokeniser's preset cannot be used.
    #[error("pipeline {path}: {source}")]
    Preset {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PresetError,
    },
    /// Its parts do not fit together.
    #[error("pipeline {pipeline}: {fault}")]
    Fault {
        /// The pipeline.
        pipeline: String,
        /// What does not fit.
        fault: Box<PipelineFault>,
    },
}

impl Pipeline {
    /// Reads a pipeline file, with `--set` overrides such as `train.params.optimiser.peak_lr=5e-4`.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown field, or an override names none.
    pub fn read(
        path: &Path,
        variant: Variant,
        overrides: &[String],
    ) -> Result<Self, PipelineError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PipelineError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, variant, overrides)
    }

    /// Reads a pipeline from a text; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(
        text: &str,
        path: &Path,
        variant: Variant,
        overrides: &[String],
    ) -> Result<Self, PipelineError> {
        let field = |source| PipelineError::Field { path: path.to_owned(), source };
        let table: toml::Table = text
            .parse()
            .map_err(|e| PipelineError::Toml { path: path.to_owned(), source: Box::new(e) })?;
        let table = toml::Value::Table(table);
        if let Some(field) = layers::not_finite(&table) {
            return Err(PipelineError::NotFinite { path: path.to_owned(), field });
        }
        let json = serde_json::value::Serializer;
        let mut value = serde_path_to_error::serialize(&table, json).map_err(field)?;
        let small = value.as_object_mut().and_then(|o| o.remove("quick"));
        if let (Variant::Quick, Some(small)) = (variant, small) {
            layers::merge(&mut value, small);
        }
        for text in overrides {
            layers::apply(&mut value, text)
                .map_err(|source| PipelineError::Override { text: text.clone(), source })?;
        }
        if let Some(tokeniser) = value.get_mut("tokeniser") {
            preset::lay_under(tokeniser)
                .map_err(|source| PipelineError::Preset { path: path.to_owned(), source })?;
        }
        let pipeline: Self = serde_path_to_error::deserialize(value).map_err(field)?;
        pipeline.check()?;
        Ok(pipeline)
    }

    /// Gives pre-training and preference optimisation a time budget together, `dpo_share` of it to the
    /// latter where the pipeline has it, all where it has nothing else.
    pub fn set_time_budget(&mut self, total: Duration, dpo_share: f64) {
        let share = match (&self.train, &self.dpo) {
            (_, None) => 0.0,
            (None, Some(_)) => 1.0,
            (Some(_), Some(_)) => dpo_share,
        };
        let seconds = total.as_secs_f64();
        self.set_training_budget(Budget::Seconds(seconds * (1.0 - share)));
        if let Some(dpo) = &mut self.dpo {
            dpo.params.budget = Budget::Seconds(seconds * share);
        }
    }

    /// Sets the budget of pre-training.
    pub fn set_training_budget(&mut self, budget: Budget) {
        if let Some(train) = &mut self.train {
            train.params.budget = budget;
        }
    }

    /// A dataset by name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|d| d.name == name)
    }
}
