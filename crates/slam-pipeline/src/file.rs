//! Pipeline files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::pairs::Derived;
use crate::preset;
pub use crate::preset::Origin;

/// A pipeline file: the whole recipe, from data to scores. Unknown fields are refused; the parameters of
/// stages are checked by the stages themselves before any work starts.
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
    /// The decoder (a Hugging Face `config.json` in TOML, or a text model to start from).
    #[serde(default)]
    pub model: Value,
    /// Pre-training.
    #[serde(default)]
    pub train: Option<Training>,
    /// Preference optimisation.
    #[serde(default)]
    pub dpo: Option<Training>,
    /// Scores.
    #[serde(default)]
    pub evaluate: Option<Evaluation>,
    /// Smaller values of the same fields for a run that only shows that everything works.
    #[serde(default)]
    pub quick: Value,
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
    #[serde(default)]
    pub shard_bytes: Option<u64>,
    /// Recordings longer than this are cut by voice activity; 0 cuts none [default: 30 for recordings in folders].
    #[serde(default)]
    pub max_seconds: Option<f64>,
    /// Rows of a generated source, divided evenly over the shards.
    #[serde(default)]
    pub rows: u64,
    /// The source, as the ingest stage reads it.
    pub source: Value,
    /// The licence of the data, for the report.
    #[serde(default)]
    pub licence: String,
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

/// What turns speech into units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokeniser {
    /// The folder's name under a dataset's unit stage.
    pub name: String,
    /// The feature extractor and its parameters, as the unitise stage reads them.
    pub features: Value,
    /// The folder of the feature extractor's weights, where it has any.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// A file of centroids (safetensors, `.npy`, or scikit-learn's by joblib), where they are not fitted.
    #[serde(default)]
    pub centroids: Option<PathBuf>,
    /// How to fit k-means where no centroids are given.
    #[serde(default)]
    pub kmeans: Value,
    /// The dataset k-means is fitted on.
    #[serde(default)]
    pub fit_on: Option<String>,
    /// How many of its shards, from the first.
    #[serde(default = "one")]
    pub fit_shards: u32,
    /// Where its files come from, for messages and to check them.
    #[serde(default)]
    pub origin: Origin,
}

/// A training stage's datasets and parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The datasets to train on.
    pub datasets: Vec<String>,
    /// The stage's parameters (for preference data also those of the pair stage, as `pair`).
    pub params: Value,
    /// Parameters of the pair stage.
    #[serde(default)]
    pub pair: Value,
    /// Of preference optimisation without pre-training: the folder of the checkpoint to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
}

/// What to score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The benchmark datasets.
    pub datasets: Vec<String>,
    /// The stage's parameters.
    #[serde(default)]
    pub params: Value,
    /// Benchmark datasets that are scored at each validation of a training run too.
    #[serde(default)]
    pub during_training: Vec<String>,
    /// How many pairs of each, evenly over it; 0 for all.
    #[serde(default = "few")]
    pub during_training_pairs: u64,
}

fn few() -> u64 {
    200
}

fn one() -> u32 {
    1
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
    /// It is not TOML, or not a pipeline.
    #[error("pipeline {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// An override that cannot be applied.
    #[error("--set {text}: {message}")]
    Override {
        /// What was given.
        text: String,
        /// What is wrong.
        message: String,
    },
    /// Centroids from nowhere, or from two places.
    #[error("pipeline {pipeline}: tokeniser needs either fit_on (a dataset) or centroids (a file)")]
    Centroids {
        /// The pipeline.
        pipeline: String,
    },
    /// A model to start from where it cannot be used.
    #[error(
        "pipeline {pipeline}: [dpo] policy is the checkpoint that a pipeline without [train] starts from; \
         leave out one of both"
    )]
    Policy {
        /// The pipeline.
        pipeline: String,
    },
    /// A source of pairs that cannot be planned.
    #[error("pipeline {pipeline}: the source of dataset '{dataset}': {message}")]
    Pairs {
        /// The pipeline.
        pipeline: String,
        /// The dataset.
        dataset: String,
        /// What is wrong.
        message: String,
    },
    /// A dataset that is named but not defined.
    #[error("pipeline {pipeline}: {field} names dataset '{dataset}', which it does not define")]
    NoSuchDataset {
        /// The pipeline.
        pipeline: String,
        /// Where it is named.
        field: &'static str,
        /// The name.
        dataset: String,
    },
}

impl Pipeline {
    /// Reads a pipeline file, with its `quick` values where `quick`, then `--set` overrides such as
    /// `train.params.peak_lr=5e-4`.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown field, or an override names none.
    pub fn read(path: &Path, quick: bool, overrides: &[String]) -> Result<Self, PipelineError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PipelineError::Read { path: path.to_owned(), source })?;
        let parse = |message| PipelineError::Parse { path: path.to_owned(), message };
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| parse(e.to_string()))?;
        let mut value = serde_json::to_value(table).map_err(|e| parse(e.to_string()))?;
        let small = value.as_object_mut().and_then(|o| o.remove("quick"));
        if let (true, Some(small)) = (quick, small) {
            merge(&mut value, small);
        }
        for text in overrides {
            apply(&mut value, text)
                .map_err(|message| PipelineError::Override { text: text.clone(), message })?;
        }
        if let Some(tokeniser) = value.get_mut("tokeniser") {
            preset::lay_under(tokeniser).map_err(parse)?;
        }
        let pipeline: Self = serde_json::from_value(value).map_err(|e| parse(e.to_string()))?;
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
        self.set_training_budget(&json!({"seconds": seconds * (1.0 - share)}));
        if let Some(dpo) = &mut self.dpo {
            set_budget(&mut dpo.params, &json!({"seconds": seconds * share}));
        }
    }

    /// Sets the budget of pre-training, e.g. `{"steps": 100}`.
    pub fn set_training_budget(&mut self, budget: &Value) {
        if let Some(train) = &mut self.train {
            set_budget(&mut train.params, budget);
        }
    }

    /// A dataset by name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|d| d.name == name)
    }

    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        for dataset in &self.datasets {
            self.check_pairs(dataset).map_err(|message| PipelineError::Pairs {
                pipeline: self.name.clone(),
                dataset: dataset.name.clone(),
                message,
            })?;
        }
        let policy = |t: &Training| t.policy.is_some();
        if self.train.as_ref().is_some_and(policy)
            || (self.train.is_some() && self.dpo.as_ref().is_some_and(policy))
        {
            return Err(PipelineError::Policy { pipeline: self.name.clone() });
        }
        let lists = [
            ("tokeniser.fit_on", self.tokeniser.fit_on.iter().collect::<Vec<_>>()),
            ("train.datasets", self.train.iter().flat_map(|t| &t.datasets).collect()),
            ("dpo.datasets", self.dpo.iter().flat_map(|t| &t.datasets).collect()),
            ("evaluate.datasets", self.evaluate.iter().flat_map(|t| &t.datasets).collect()),
            (
                "evaluate.during_training",
                self.evaluate.iter().flat_map(|t| &t.during_training).collect(),
            ),
        ];
        let Tokeniser { fit_on, centroids, .. } = &self.tokeniser;
        if fit_on.is_some() == centroids.is_some() {
            return Err(PipelineError::Centroids { pipeline: self.name.clone() });
        }
        for (field, names) in lists {
            for name in names {
                if self.dataset(name).is_none() {
                    return Err(PipelineError::NoSuchDataset {
                        pipeline: self.name.clone(),
                        field,
                        dataset: name.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Pipeline {
    /// Checks where a dataset's pairs come from, if not from recordings.
    fn check_pairs(&self, dataset: &Dataset) -> Result<(), String> {
        let Some(derived) = Derived::of(dataset)? else { return Ok(()) };
        if dataset.role != Role::Preference {
            return Err("it makes pairs; the dataset needs role = \"preference\"".into());
        }
        let Some(of) = derived.dataset() else { return Ok(()) };
        match self.dataset(of) {
            Some(d) if matches!(Derived::of(d), Ok(None)) => Ok(()),
            Some(_) => Err(format!("'{of}' has no units: it is made of pairs itself")),
            None => Err(format!("it names dataset '{of}', which the pipeline does not define")),
        }
    }
}

fn set_budget(params: &mut Value, budget: &Value) {
    if let Some(params) = params.as_object_mut() {
        params.insert("budget".to_owned(), budget.clone());
    }
}

/// Lays `small` over `value`: objects are merged, datasets by their name, all else is replaced.
fn merge(value: &mut Value, small: Value) {
    match (value, small) {
        (Value::Object(value), Value::Object(small)) => {
            for (name, v) in small {
                merge(value.entry(name).or_insert(Value::Null), v);
            }
        }
        (Value::Array(items), Value::Array(small))
            if small.iter().all(|s| s.get("name").is_some()) =>
        {
            for s in small {
                match items.iter_mut().find(|i| i.get("name") == s.get("name")) {
                    Some(item) => merge(item, s),
                    None => items.push(s),
                }
            }
        }
        (value, small) => *value = small,
    }
}

/// Sets one field that is already there, or that a sibling object may hold.
fn apply(value: &mut Value, text: &str) -> Result<(), String> {
    let (path, new) = text.split_once('=').ok_or("expected FIELD=VALUE")?;
    let new = format!("v = {new}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .and_then(|v| serde_json::to_value(v).ok())
        // A bare word is a string, as in a shell.
        .unwrap_or_else(|| Value::from(new));
    let path = full_path(value, path)?;
    let mut place = value;
    for step in path.split('.') {
        place = match place {
            Value::Array(items) => items
                .iter_mut()
                .find(|i| i.get("name").and_then(Value::as_str) == Some(step))
                .ok_or_else(|| format!("there is no item '{step}'"))?,
            Value::Object(map) => map.entry(step).or_insert(Value::Null),
            _ => return Err(format!("'{step}' is below a value, not a table")),
        };
    }
    *place = new;
    Ok(())
}

/// Fields of a training table itself; all others are parameters of its stage.
const TRAINING_FIELDS: [&str; 4] = ["datasets", "pair", "params", "policy"];

/// `train.peak_lr` for `train.params.optimiser.peak_lr`: a parameter of `train` and `dpo` may be named without
/// the tables that it is in, where the file has it.
fn full_path(value: &Value, path: &str) -> Result<String, String> {
    let mut steps = path.splitn(3, '.');
    let (Some(table @ ("train" | "dpo")), Some(field)) = (steps.next(), steps.next()) else {
        return Ok(path.to_owned());
    };
    if TRAINING_FIELDS.contains(&field) {
        return Ok(path.to_owned());
    }
    let params = &value[table]["params"];
    let rest = steps.next().map_or(String::new(), |rest| format!(".{rest}"));
    let inside = |value: &Value| value.get(field).is_some();
    match (inside(params), inside(&params["optimiser"])) {
        (true, _) => Ok(format!("{table}.params.{field}{rest}")),
        (false, true) => Ok(format!("{table}.params.optimiser.{field}{rest}")),
        (false, false) => Err(format!(
            "the pipeline sets no {field} for {table}; write {table}.params.{field} or \
             {table}.params.optimiser.{field}"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = r#"
name = "t"
[[datasets]]
name = "a"
rows = 100
source = { kind = "x" }
[tokeniser]
name = "m"
features = { kind = "mfcc", k = 10 }
fit_on = "a"
[train]
datasets = ["a"]
params = { peak_lr = 1e-3 }
[quick]
datasets = [{ name = "a", rows = 5 }]
train = { params = { steps = 2 } }
"#;

    fn read(text: &str, quick: bool, set: &[&str]) -> Result<Pipeline, PipelineError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        fs::write(&path, text).unwrap();
        Pipeline::read(&path, quick, &set.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn quick_values_and_overrides_are_laid_over_the_file() {
        let p = read(TEXT, false, &[]).unwrap();
        assert_eq!(p.datasets[0].rows, 100);
        let p = read(TEXT, true, &["train.params.peak_lr=5e-4", "datasets.a.shards=3"]).unwrap();
        assert_eq!((p.datasets[0].rows, p.datasets[0].shards), (5, 3));
        assert_eq!(p.train.unwrap().params, serde_json::json!({"peak_lr": 5e-4, "steps": 2}));
    }

    #[test]
    fn a_parameter_is_set_by_its_short_name_where_the_file_has_it() {
        let text = TEXT.replace(
            "params = { peak_lr = 1e-3 }",
            "params = { rows = 8, optimiser = { peak_lr = 1e-3 } }",
        );
        let set = ["train.peak_lr=5e-4", "train.rows=4", "train.params.optimiser.clip=1.0"];
        let p = read(&text, false, &set).unwrap().train.unwrap().params;
        assert_eq!(p, json!({"rows": 4, "optimiser": {"peak_lr": 5e-4, "clip": 1.0}}));
        let error = read(&text, false, &["train.peek_lr=1"]).unwrap_err().to_string();
        assert!(error.contains("train.params.optimiser.peek_lr"), "{error}");
    }

    #[test]
    fn unknown_fields_and_datasets_are_refused_by_name() {
        let error = read(&format!("nam = 1\n{TEXT}"), false, &[]).unwrap_err().to_string();
        assert!(error.contains("nam"), "{error}");
        let error = read(TEXT, false, &["trian.x=1"]).unwrap_err().to_string();
        assert!(error.contains("trian"), "{error}");
        let error = read(TEXT, false, &["train.datasets=[\"b\"]"]).unwrap_err().to_string();
        assert!(error.contains("'b'"), "{error}");
    }

    #[test]
    fn centroids_come_from_one_place() {
        for set in ["tokeniser.centroids=\"c.npy\"", "tokeniser.fit_on=\"\""] {
            assert!(read(TEXT, false, &[set]).is_err(), "{set}");
        }
        let text = TEXT.replace("fit_on = \"a\"", "centroids = \"c.npy\"");
        assert!(read(&text, false, &[]).is_ok());
    }

    #[test]
    fn a_time_budget_is_shared_with_preference_optimisation_where_there_is_one() {
        let mut p = read(TEXT, false, &[]).unwrap();
        p.set_time_budget(Duration::from_secs(100), 0.25);
        assert_eq!(p.train.unwrap().params["budget"], json!({"seconds": 100.0}));
        let text = TEXT.replace("[quick]", "[dpo]\ndatasets = [\"a\"]\nparams = {}\n[quick]");
        let mut p = read(&text, false, &[]).unwrap();
        p.set_time_budget(Duration::from_secs(100), 0.25);
        assert_eq!(p.train.unwrap().params["budget"], json!({"seconds": 75.0}));
        assert_eq!(p.dpo.unwrap().params["budget"], json!({"seconds": 25.0}));
    }
}
