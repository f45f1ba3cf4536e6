//! Preference datasets that are made of something else than recordings: neither ingested nor unitised, planned
//! as a pair stage of their own.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use slam_dataset::stage;
use slam_dataset::work::Input;
use slam_dataset::{ShardName, WorkUnit};

use crate::file::{Dataset, Pipeline};
use crate::plan::{StagePlan, output};
use crate::source::{self, SourceError};

/// Fields of a source that say where something is, not what it holds: no part of a shard's key.
const PLACES: [&str; 4] = ["folder", "of", "units_of", "checkpoint"];

/// Where the pairs of a dataset come from. The pair stage reads the other fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Derived {
    /// slamkit's JSON lines.
    SlamkitPairs {
        /// A folder of `.jsonl` files, or one file.
        folder: PathBuf,
        /// A dataset whose units are of the lines' tokeniser.
        #[serde(default)]
        units_of: Option<String>,
    },
    /// Own continuations against others'.
    OwnContinuation {
        /// The dataset of the stories.
        of: String,
    },
    /// A model's own continuations.
    Sampled {
        /// The dataset of the prompts.
        of: String,
        /// The model's folder.
        checkpoint: PathBuf,
    },
}

impl Derived {
    /// The kinds of sources.
    const KINDS: [&str; 3] = ["slamkit-pairs", "own-continuation", "sampled"];

    /// Where a dataset's pairs come from; `None` where they are spoken, as every other source's are.
    ///
    /// # Errors
    /// If a field is missing, in words.
    pub fn of(dataset: &Dataset) -> Result<Option<Self>, String> {
        let kind = dataset.source.get("kind").and_then(Value::as_str);
        if !kind.is_some_and(|kind| Self::KINDS.contains(&kind)) {
            return Ok(None);
        }
        Self::deserialize(&dataset.source).map(Some).map_err(|e| e.to_string())
    }

    /// The dataset that the pairs are made of.
    pub fn dataset(&self) -> Option<&str> {
        match self {
            Self::SlamkitPairs { units_of, .. } => units_of.as_deref(),
            Self::OwnContinuation { of } | Self::Sampled { of, .. } => Some(of),
        }
    }
}

/// Whether a dataset is made of something else than recordings.
pub(crate) fn is_derived(dataset: &Dataset) -> bool {
    matches!(Derived::of(dataset), Ok(Some(_)))
}

/// Parameters of a dataset's pair stage: those of `[dpo] pair`.
pub(crate) fn params(pipeline: &Pipeline, dataset: &Dataset) -> Value {
    let training = pipeline.dpo.iter().find(|t| t.datasets.contains(&dataset.name));
    training.map(|t| t.pair.clone()).filter(|p| !p.is_null()).unwrap_or_else(|| json!({}))
}

/// Plans the pair stage of a derived dataset; `units` are the unit shards of the dataset that it is made of.
pub(crate) fn plan(
    derived: &Derived,
    pipeline: &Pipeline,
    dataset: &Dataset,
    units: &[WorkUnit],
) -> Result<StagePlan, SourceError> {
    let mut params = params(pipeline, dataset);
    let mut source = dataset.source.clone();
    if let Some(source) = source.as_object_mut() {
        for place in PLACES {
            source.remove(place);
        }
    }
    params["source"] = source;
    let mut work: Vec<(Value, Vec<Input>)> = Vec::new();
    match derived {
        Derived::SlamkitPairs { folder, .. } => {
            for file in lines_files(folder)? {
                let inputs: Vec<_> = std::iter::once(source::input(&file)?)
                    .chain(units.first().map(WorkUnit::as_input))
                    .collect();
                let parts = dataset.shards.max(1);
                for part in 0..parts {
                    let mut params = params.clone();
                    if parts > 1 {
                        params["part"] = json!([part, parts]);
                    }
                    work.push((params, inputs.clone()));
                }
            }
        }
        Derived::OwnContinuation { .. } => {
            work.extend(units.iter().map(|u| (params.clone(), vec![u.as_input()])));
        }
        Derived::Sampled { checkpoint, .. } => {
            let model = source::checkpoint_files(checkpoint)?;
            let inputs = |u: &WorkUnit| std::iter::once(u.as_input()).chain(model.iter().cloned());
            work.extend(units.iter().map(|u| (params.clone(), inputs(u).collect())));
        }
    }
    let count = work.len() as u32;
    let unit = |(i, (params, inputs)): (usize, (Value, Vec<Input>))| {
        let shard = ShardName::new(i as u32, count);
        let output = output(stage::PAIR, &dataset.name, Some(&pipeline.tokeniser.name), shard);
        WorkUnit::new(stage::PAIR.name, stage::PAIR.version, shard, params, inputs, output)
    };
    let units = work.into_iter().enumerate().map(unit).collect();
    Ok(StagePlan { dataset: dataset.name.clone(), stage: stage::PAIR.name, units })
}

fn lines_files(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if folder.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let read = |source| SourceError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "it has no .jsonl files");
        return Err(read(missing));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Plan;

    fn pipeline(source: Value) -> Result<Pipeline, String> {
        let p: Pipeline = serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 3, "rows": 10, "source": {"kind": "g"}},
                {"name": "p", "role": "preference", "source": source},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 9}, "fit_on": "a"},
            "dpo": {"datasets": ["p"], "params": {}, "pair": {"max_auto_bleu2": 0.5}},
        }))
        .unwrap();
        p.check().map_err(|e| e.to_string())?;
        Ok(p)
    }

    #[test]
    fn a_pair_shard_follows_each_unit_shard_of_the_stories() {
        let p = pipeline(json!({"kind": "own-continuation", "of": "a", "seed": 1})).unwrap();
        let plan = Plan::of(&p).unwrap();
        assert!(plan.units("p", "ingest").is_empty() && plan.units("p", "unitise").is_empty());
        let pairs = plan.units("p", "pair");
        assert_eq!(pairs.len(), 3);
        assert_eq!(pairs[1].inputs, [plan.units("a", "unitise")[1].as_input()]);
        let source = json!({"kind": "own-continuation", "seed": 1});
        assert_eq!(pairs[1].params, json!({"max_auto_bleu2": 0.5, "source": source}));
    }

    #[test]
    fn each_file_of_lines_is_cut_into_shards_and_may_move() {
        let of = |dir: &Path| {
            for name in ["b.jsonl", "a.jsonl", "c.txt"] {
                std::fs::write(dir.join(name), name).unwrap();
            }
            let mut p = pipeline(json!({"kind": "slamkit-pairs", "folder": dir})).unwrap();
            p.datasets[1].shards = 2;
            Plan::of(&p).unwrap().units("p", "pair").to_vec()
        };
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (of(a.path()), of(b.path()));
        assert_eq!(here.len(), 4);
        assert!(here[0].inputs[0].path.ends_with("a.jsonl"));
        assert_eq!(here[3].params["part"], json!([1, 2]));
        let keys = |units: &[WorkUnit]| units.iter().map(|u| u.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&here), keys(&there));
        std::fs::remove_file(a.path().join("a.jsonl")).unwrap();
        std::fs::remove_file(a.path().join("b.jsonl")).unwrap();
        let p = pipeline(json!({"kind": "slamkit-pairs", "folder": a.path()})).unwrap();
        assert!(Plan::of(&p).unwrap_err().to_string().contains("no .jsonl files"));
    }

    #[test]
    fn sampled_pairs_depend_on_the_model() {
        let dir = tempfile::tempdir().unwrap();
        let source = json!({"kind": "sampled", "of": "a", "checkpoint": dir.path(), "scorer": {"command": "x"}});
        let key = |text: &str| {
            std::fs::write(dir.path().join("config.json"), text).unwrap();
            let p = pipeline(source.clone()).unwrap();
            Plan::of(&p).unwrap().units("p", "pair")[0].key.clone()
        };
        assert_eq!(key("1"), key("1"));
        assert_ne!(key("1"), key("2"));
    }

    #[test]
    fn a_source_that_names_no_dataset_or_stands_in_the_wrong_place_is_refused() {
        for (source, says) in [
            (json!({"kind": "own-continuation"}), "`of`"),
            (json!({"kind": "own-continuation", "of": "nowhere"}), "'nowhere'"),
            (json!({"kind": "own-continuation", "of": "p"}), "'p'"),
            (json!({"kind": "sampled", "of": "a"}), "`checkpoint`"),
            (json!({"kind": "slamkit-pairs"}), "`folder`"),
        ] {
            let error = pipeline(source).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
