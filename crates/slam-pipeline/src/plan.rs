//! The stage graph of a pipeline as units of work.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slam_dataset::receipt::ShardState;
use slam_dataset::stage::{self, Stage};
use slam_dataset::work::Input;
use slam_dataset::{Receipt, ShardName, WorkUnit};

use crate::file::{Dataset, Pipeline, Role};
use crate::pairs::{self, Derived};
use crate::source::{self, SourceError};

/// Source bytes of one shard of a folder of recordings.
const FOLDER_SHARD_BYTES: u64 = 256 << 20;

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
        self.units.iter().map(|u| Receipt::state(&root.join(&u.output), &u.key)).collect()
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
        for dataset in recorded() {
            plan.stages.push(ingest(dataset)?);
        }
        let tokeniser = &pipeline.tokeniser;
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
            tokenised.push(unitise(pipeline, dataset, corpus, &fitted));
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
                Role::Benchmark => benchmark(dataset, folder, units),
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

fn ingest(dataset: &Dataset) -> Result<StagePlan, SourceError> {
    let stage = stage::INGEST;
    let name = |i: usize, n: usize| ShardName::new(i as u32, n as u32);
    let unit = |shard, params, inputs| {
        let output = output(stage, &dataset.name, None, shard);
        WorkUnit::new(stage.name, stage.version, shard, params, inputs, output)
    };
    let folder = dataset.source.get("folder").and_then(Value::as_str);
    let units = if let Some(folder) = folder {
        let mut source = dataset.source.clone();
        if let Some(source) = source.as_object_mut() {
            // Where the files lie does not change what they hold.
            source.remove("folder");
        }
        let shards =
            source::into_shards(source::list_folder(Path::new(folder))?, FOLDER_SHARD_BYTES);
        let count = shards.len();
        let make = |(i, files): (usize, Vec<source::SourceFile>)| {
            let names: Vec<_> = files.iter().map(|f| f.relative.clone()).collect();
            let params = json!({"source": source, "files": names});
            let inputs =
                files.into_iter().map(|f| Input { path: source::absolute(f.path), key: f.key });
            unit(name(i, count), params, inputs.collect())
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
    Ok(StagePlan { dataset: dataset.name.clone(), stage: stage.name, units })
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

/// A benchmark is one shard: the sides of a pair may lie in different shards before it.
fn benchmark(dataset: &Dataset, tokeniser: Option<&str>, before: &[WorkUnit]) -> StagePlan {
    let stage = stage::BENCHMARK;
    let shard = ShardName::new(0, 1);
    let inputs = before.iter().map(WorkUnit::as_input).collect();
    let output = output(stage, &dataset.name, tokeniser, shard);
    let unit = WorkUnit::new(stage.name, stage.version, shard, json!({}), inputs, output);
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
