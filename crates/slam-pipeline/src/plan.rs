//! The stage graph of a pipeline as units of work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slam_dataset::receipt::ShardState;
use slam_dataset::stage::{self, Stage};
use slam_dataset::work::Input;
use slam_dataset::{Receipt, ShardName, WorkUnit};

use crate::file::{Dataset, Pipeline, Role};
use crate::pairs::{self, Derived};
use crate::preset;
use crate::source::{self, SourceError};
use crate::suite::{self, Refused};

/// A file in a data root that says which object store the root mirrors.
pub const MIRROR: &str = ".store";

/// What stands where a unit's shard should be; in a mirror of an object store its receipt alone counts.
pub fn state(unit: &WorkUnit, root: &Path) -> ShardState {
    let shard = root.join(&unit.output);
    if root.join(MIRROR).is_file() {
        Receipt::state_in_mirror(&shard, &unit.key)
    } else {
        Receipt::state(&shard, &unit.key)
    }
}

/// Every stage of a pipeline over its datasets, in an order in which each finds its inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The stages.
    pub stages: Vec<StagePlan>,
    /// What the tokeniser is made of: its centroids, then its weights.
    pub tokeniser: Vec<Input>,
    /// The files of the model that preference optimisation starts from, where the pipeline names one.
    pub policy: Vec<Input>,
}

/// One stage over one dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// The dataset.
    pub dataset: String,
    /// The stage.
    pub stage: &'static str,
    /// Its shards.
    pub units: Vec<WorkUnit>,
}

impl StagePlan {
    /// What stands where each shard should be.
    pub fn states(&self, root: &Path) -> Vec<ShardState> {
        self.units.iter().map(|u| state(u, root)).collect()
    }

    /// Positions of the units that are not done.
    pub fn pending(&self, root: &Path) -> Vec<usize> {
        let states = self.states(root);
        let done = |s: &ShardState| matches!(s, ShardState::Done(_));
        (0..states.len()).filter(|&i| !done(&states[i])).collect()
    }
}

impl Plan {
    /// Plans a pipeline's data stages. Sources that are files are listed and hashed.
    ///
    /// # Errors
    /// If a folder of recordings, or the tokeniser's files, cannot be read.
    pub fn of(pipeline: &Pipeline) -> Result<Self, SourceError> {
        let mut plan = Self::default();
        let recorded = || pipeline.datasets.iter().filter(|d| !pairs::is_derived(d));
        let mut refused = BTreeMap::new();
        for dataset in recorded() {
            let (stage, left_out) = ingest(dataset)?;
            plan.stages.push(stage);
            refused.insert(dataset.name.as_str(), left_out);
        }
        let tokeniser = &pipeline.tokeniser;
        preset::check_files(tokeniser).map_err(SourceError::Tokeniser)?;
        let weights = match &tokeniser.checkpoint {
            Some(folder) => source::checkpoint_files(folder)?,
            None => vec![],
        };
        let fit = fit_kmeans(pipeline, &plan, &weights);
        let mut fitted: Vec<Input> =
            fit.iter().flat_map(|s| &s.units).map(WorkUnit::as_input).collect();
        plan.stages.extend(fit);
        if let Some(path) = &tokeniser.centroids {
            fitted.push(source::input(path)?);
        }
        fitted.extend(weights);
        let mut tokenised = Vec::new();
        for dataset in recorded() {
            let corpus = plan.units(&dataset.name, stage::INGEST.name);
            tokenised.push(if is_units(dataset) {
                import_units(pipeline, dataset)?
            } else {
                unitise(pipeline, dataset, corpus, &fitted)
            });
        }
        let units_of = |dataset: &str| {
            tokenised.iter().find(|s| s.dataset == dataset).map_or(&[][..], |s| &s.units)
        };
        let mut last = Vec::new();
        for dataset in &pipeline.datasets {
            if let Ok(Some(derived)) = Derived::of(dataset) {
                let units = derived.dataset().map_or(&[][..], units_of);
                last.push(pairs::plan(&derived, pipeline, dataset, units)?);
                continue;
            }
            let (folder, units) = (Some(pipeline.tokeniser.name.as_str()), units_of(&dataset.name));
            last.push(match dataset.role {
                Role::Speech => continue,
                Role::Preference => {
                    let params = pairs::params(pipeline, dataset);
                    follow(stage::PAIR, dataset, folder, units, |unit| {
                        (params.clone(), vec![unit.as_input()])
                    })
                }
                Role::Benchmark => {
                    let refused = refused.remove(dataset.name.as_str()).unwrap_or_default();
                    benchmark(dataset, folder, units, &refused)
                }
            });
        }
        plan.stages.extend(tokenised);
        plan.stages.extend(last);
        plan.tokeniser = fitted;
        if let Some(folder) = pipeline.dpo.as_ref().and_then(|t| t.policy.as_ref()) {
            plan.policy = source::checkpoint_files(folder)?;
        }
        Ok(plan)
    }

    /// The shards of a stage of a dataset; none where the plan has no such stage.
    pub fn units(&self, dataset: &str, stage: &str) -> &[WorkUnit] {
        self.stages
            .iter()
            .find(|s| s.dataset == dataset && s.stage == stage)
            .map_or(&[], |s| &s.units)
    }
}

/// The file of a stage's shard, below the data root.
pub(crate) fn output(
    stage: Stage,
    dataset: &str,
    tokeniser: Option<&str>,
    shard: ShardName,
) -> PathBuf {
    let mut path = PathBuf::from(dataset).join(stage.folder());
    if let Some(tokeniser) = tokeniser {
        path.push(tokeniser);
    }
    path.join(format!("{shard}.{}", stage.extension))
}

/// Kinds of source whose recordings are as long as it came: chapters, books, whatever a folder holds.
const RECORDINGS: [&str; 3] = ["folder", "librispeech", "libri-light"];
/// How long a piece of these may be.
const MAX_SECONDS: f64 = 30.0;

/// What recordings are cut to, in seconds. Items of pairs and benchmarks are never cut.
fn max_seconds(dataset: &Dataset) -> Option<f64> {
    let kind = dataset.source.get("kind").and_then(Value::as_str).unwrap_or_default();
    let default = RECORDINGS.contains(&kind).then_some(MAX_SECONDS);
    let seconds = dataset.max_seconds.or(default).filter(|s| *s > 0.0);
    seconds.filter(|_| dataset.role == Role::Speech)
}

/// The ingest stage of a dataset and, of a suite, what its folder lacks or has too much of.
fn ingest(dataset: &Dataset) -> Result<(StagePlan, Vec<Refused>), SourceError> {
    let stage = stage::INGEST;
    let name = |i: usize, n: usize| ShardName::new(i as u32, n as u32);
    let unit = |shard, params, inputs| {
        let output = output(stage, &dataset.name, None, shard);
        WorkUnit::new(stage.name, stage.version, shard, params, inputs, output)
    };
    let (shards, refused) = match suite::shards(dataset)? {
        Some((shards, refused)) => (Some(shards), refused),
        None if is_units(dataset) => (None, vec![]),
        None => (source::shards(dataset)?, vec![]),
    };
    let units = if is_units(dataset) {
        vec![]
    } else if let Some(shards) = shards {
        let count = shards.len();
        let make = |(i, files): (usize, source::ShardFiles)| {
            let mut params = files.params();
            if let (Some(seconds), Some(params)) = (max_seconds(dataset), params.as_object_mut()) {
                params.insert("max_seconds".to_owned(), json!(seconds));
            }
            unit(name(i, count), params, files.inputs)
        };
        shards.into_iter().enumerate().map(make).collect()
    } else {
        let count = u64::from(dataset.shards.max(1));
        (0..count)
            .map(|i| {
                let rows = [dataset.rows * i / count, dataset.rows * (i + 1) / count];
                let params = json!({"source": dataset.source, "rows": rows});
                unit(name(i as usize, count as usize), params, vec![])
            })
            .collect()
    };
    let plan = StagePlan { dataset: dataset.name.clone(), stage: stage.name, units };
    Ok((plan, refused))
}

fn fit_kmeans(pipeline: &Pipeline, plan: &Plan, weights: &[Input]) -> Option<StagePlan> {
    let tokeniser = &pipeline.tokeniser;
    let dataset = tokeniser.fit_on.as_deref()?;
    let stage = stage::FIT_KMEANS;
    let shard = ShardName::new(0, 1);
    let corpus = plan.units(dataset, stage::INGEST.name);
    let shards = corpus.iter().take(tokeniser.fit_shards as usize).map(WorkUnit::as_input);
    let inputs = shards.chain(weights.iter().cloned()).collect();
    let params = json!({"features": tokeniser.features, "kmeans": tokeniser.kmeans});
    let output = output(stage, dataset, Some(&tokeniser.name), shard);
    let unit = WorkUnit::new(stage.name, stage.version, shard, params, inputs, output);
    Some(StagePlan { dataset: dataset.to_owned(), stage: stage.name, units: vec![unit] })
}

fn unitise(
    pipeline: &Pipeline,
    dataset: &Dataset,
    corpus: &[WorkUnit],
    fitted: &[Input],
) -> StagePlan {
    let tokeniser = &pipeline.tokeniser;
    let params = json!({"name": tokeniser.name, "features": tokeniser.features});
    follow(stage::UNITISE, dataset, Some(&tokeniser.name), corpus, |unit| {
        let inputs = std::iter::once(unit.as_input()).chain(fitted.iter().cloned()).collect();
        (params.clone(), inputs)
    })
}

/// Whether a dataset's source holds units already.
fn is_units(dataset: &Dataset) -> bool {
    dataset.source.get("kind").and_then(Value::as_str) == Some(source::UNITS)
}

/// Unit shards of files that hold units, one of each.
fn import_units(pipeline: &Pipeline, dataset: &Dataset) -> Result<StagePlan, SourceError> {
    let stage = stage::UNITISE;
    let shards = source::shards(dataset)?.unwrap_or_default();
    let count = shards.len() as u32;
    let unit = |(i, files): (u32, source::ShardFiles)| {
        let mut params = files.source;
        if let Some(params) = params.as_object_mut() {
            params.remove("kind");
            params.insert("tokeniser".to_owned(), json!(pipeline.tokeniser.name));
            params.entry("split").or_insert_with(|| json!("train"));
        }
        let shard = ShardName::new(i, count);
        let output = output(stage, &dataset.name, Some(&pipeline.tokeniser.name), shard);
        WorkUnit::new(stage.name, stage.version, shard, params, files.inputs, output)
    };
    let units = (0..).zip(shards).map(unit).collect();
    Ok(StagePlan { dataset: dataset.name.clone(), stage: stage.name, units })
}

/// A benchmark is one shard: the sides of a pair may lie in different shards before it.
fn benchmark(
    dataset: &Dataset,
    tokeniser: Option<&str>,
    before: &[WorkUnit],
    refused: &[Refused],
) -> StagePlan {
    let stage = stage::BENCHMARK;
    let params = if refused.is_empty() { json!({}) } else { json!({"refused": refused}) };
    let shard = ShardName::new(0, 1);
    let inputs = before.iter().map(WorkUnit::as_input).collect();
    let output = output(stage, &dataset.name, tokeniser, shard);
    let unit = WorkUnit::new(stage.name, stage.version, shard, params, inputs, output);
    StagePlan { dataset: dataset.name.clone(), stage: stage.name, units: vec![unit] }
}

/// A stage that makes one shard of each shard before it.
fn follow(
    stage: Stage,
    dataset: &Dataset,
    tokeniser: Option<&str>,
    before: &[WorkUnit],
    work: impl Fn(&WorkUnit) -> (Value, Vec<Input>),
) -> StagePlan {
    let units = before
        .iter()
        .map(|unit| {
            let (params, inputs) = work(unit);
            let output = output(stage, &dataset.name, tokeniser, unit.shard);
            WorkUnit::new(stage.name, stage.version, unit.shard, params, inputs, output)
        })
        .collect();
    StagePlan { dataset: dataset.name.clone(), stage: stage.name, units }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pipeline(k: u32) -> Pipeline {
        serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 3, "rows": 10, "source": {"kind": "g"}},
                {"name": "p", "role": "preference", "rows": 4, "source": {"kind": "g"}},
                {"name": "b", "role": "benchmark", "rows": 4, "source": {"kind": "g"}},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": k}, "fit_on": "a"},
        }))
        .unwrap()
    }

    #[test]
    fn stages_come_in_an_order_in_which_each_finds_its_inputs() {
        let plan = Plan::of(&pipeline(10)).unwrap();
        let mut made = std::collections::BTreeSet::new();
        for unit in plan.stages.iter().flat_map(|s| &s.units) {
            for input in &unit.inputs {
                assert!(made.contains(&input.key), "{} before its input", unit.output.display());
            }
            made.insert(unit.key.clone());
        }
        assert_eq!(plan.units("a", "ingest")[1].params["rows"], json!([3, 6]));
        assert_eq!(plan.units("a", "unitise").len(), 3);
        assert_eq!(plan.units("p", "pair").len(), 1);
        assert_eq!(
            plan.units("b", "benchmark")[0].output,
            PathBuf::from("b/benchmark-v1/m/part-00000-of-00001.parquet")
        );
    }

    #[test]
    fn a_changed_parameter_changes_the_keys_of_what_depends_on_it_and_no_others() {
        let (x, y) = (Plan::of(&pipeline(10)).unwrap(), Plan::of(&pipeline(11)).unwrap());
        for (dataset, stage, same) in
            [("a", "ingest", true), ("a", "unitise", false), ("b", "benchmark", false)]
        {
            let keys = |p: &Plan| {
                p.units(dataset, stage).iter().map(|u| u.key.clone()).collect::<Vec<_>>()
            };
            assert_eq!(keys(&x) == keys(&y), same, "{dataset} {stage}");
        }
    }

    #[test]
    fn units_are_imported_as_they_are_and_not_ingested() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "b.parquet"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mut p = pipeline(10);
        p.datasets[1].source =
            json!({"kind": "units", "folder": dir.path(), "k": 10, "units_per_second": 25.0});
        let plan = Plan::of(&p).unwrap();
        assert!(plan.units("p", "ingest").is_empty());
        let units = plan.units("p", "unitise");
        assert_eq!((units.len(), units[1].inputs.len()), (2, 1));
        let expected =
            json!({"tokeniser": "m", "k": 10, "units_per_second": 25.0, "split": "train"});
        assert_eq!(units[0].params, expected);
        assert_eq!(plan.units("p", "pair").len(), 2);
    }

    #[test]
    fn a_suite_is_ingested_by_its_items_and_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0_a_correct.wav", "1_a_incorrect.wav", "notes.wav"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mut p = pipeline(10);
        p.datasets[2].source = json!({"kind": "suite", "layout": "story-cloze", "name": "tsc",
            "folder": dir.path()});
        let plan = Plan::of(&p).unwrap();
        let ingest = &plan.units("b", "ingest")[0];
        assert_eq!(ingest.params["files"][0]["id"], "tsc|a|||||positive|0_a_correct");
        assert_eq!(ingest.params["files"][0]["split"], "test");
        assert_eq!(ingest.inputs.len(), 2);
        let refused = &plan.units("b", "benchmark")[0].params["refused"];
        assert_eq!(
            (refused.as_array().unwrap().len(), &refused[0]["id"]),
            (1, &json!("notes.wav"))
        );
        p.datasets[2].source["layuot"] = json!("salmon");
        let error = Plan::of(&p).unwrap_err().to_string();
        assert!(error.contains("layuot") && error.contains("'b'"), "{error}");
    }

    #[test]
    fn a_folder_can_move_without_its_shards_becoming_stale() {
        let of = |dir: &Path| {
            std::fs::write(dir.join("x.wav"), b"sound").unwrap();
            let mut p = pipeline(10);
            p.datasets[0].source = json!({"kind": "folder", "folder": dir});
            Plan::of(&p).unwrap().units("a", "ingest")[0].key.clone()
        };
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(of(a.path()), of(b.path()));
    }
}
