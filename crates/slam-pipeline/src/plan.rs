//! The stage graph of a pipeline as units of work.

use std::collections::BTreeMap;

use slam_recipe::lock::{LockedDataset, LockedStage, Shard};
use slam_recipe::params::{
    BenchmarkParams, FitParams, ImportParams, IngestParams, PairParams, Refused, UnitiseParams,
};
use slam_recipe::pipeline::{Dataset, Role};
use slam_recipe::source::{Making, Source};
use slam_recipe::work::Input;
use slam_recipe::{Pipeline, Stage, Work, WorkUnit};

use crate::pairs;
use crate::source::{self, SourceError};
use crate::stage_plan::StagePlan;
use crate::suite;
use crate::tokeniser_files;

/// Every stage of a pipeline over its datasets, in an order in which each finds its inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The stages.
    pub stages: Vec<StagePlan>,
    /// What the tokeniser is made of: its centroids, then its weights.
    pub tokeniser: Vec<Input>,
}

impl Plan {
    /// Plans a pipeline's data stages. Sources that are files are listed and hashed.
    ///
    /// # Errors
    /// If a folder of recordings, or the tokeniser's files, cannot be read.
    pub fn new(pipeline: &Pipeline) -> Result<Self, SourceError> {
        let mut plan = Self::default();
        let recorded = || pipeline.datasets.iter().filter(|d| d.source.making() != Making::Pairs);
        let mut refused = BTreeMap::new();
        for dataset in recorded() {
            let (stage, left_out) = ingest(dataset)?;
            plan.stages.push(stage);
            refused.insert(dataset.name.as_str(), left_out);
        }
        let tokeniser = &pipeline.tokeniser;
        tokeniser_files::check(tokeniser)?;
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
        let mut unitised = Vec::new();
        for dataset in recorded() {
            let corpus = plan.units(&dataset.name, Stage::Ingest);
            unitised.push(match &dataset.source {
                Source::Units(units) => {
                    let params = ImportParams {
                        tokeniser: tokeniser.name.clone(),
                        k: units.k,
                        units_per_second: units.units_per_second,
                        split: units.split.clone(),
                    };
                    import_units(dataset, &tokeniser.name, &params)?
                }
                _ => unitise(pipeline, dataset, corpus, &fitted),
            });
        }
        let units_of = |dataset: &str| {
            unitised.iter().find(|s| s.dataset == dataset).map_or(&[][..], |s| &s.units)
        };
        let mut last = Vec::new();
        for dataset in &pipeline.datasets {
            let filter = pairs::filter(pipeline, dataset);
            if dataset.source.making() == Making::Pairs {
                let units = dataset.source.of_dataset().map_or(&[][..], units_of);
                last.push(pairs::plan(filter, &tokeniser.name, dataset, units)?);
                continue;
            }
            let units = units_of(&dataset.name);
            last.push(match dataset.role {
                Role::Speech => continue,
                Role::Preference => {
                    let params = PairParams { filter, ..PairParams::default() };
                    let work =
                        |unit: &WorkUnit| (Work::Pair(params.clone()), vec![unit.as_input()]);
                    let work = units.iter().map(work).collect();
                    StagePlan::new(&dataset.name, Stage::Pair, Some(&tokeniser.name), work)
                }
                Role::Benchmark => {
                    let refused = refused.remove(dataset.name.as_str()).unwrap_or_default();
                    benchmark(dataset, &tokeniser.name, units, refused)
                }
            });
        }
        plan.stages.extend(unitised);
        plan.stages.extend(last);
        plan.tokeniser = fitted;
        Ok(plan)
    }

    /// The shards of a stage of a dataset; none where the plan has no such stage.
    pub fn units(&self, dataset: &str, stage: Stage) -> &[WorkUnit] {
        self.stages
            .iter()
            .find(|s| s.dataset == dataset && s.stage == stage)
            .map_or(&[], |s| &s.units)
    }

    /// The plan's datasets as the lock of a data root keeps them, nothing of them being made.
    pub fn locked(&self, pipeline: &Pipeline) -> Vec<LockedDataset> {
        let stages = |dataset: &Dataset| {
            let of_dataset = |s: &&StagePlan| s.dataset == dataset.name && !s.units.is_empty();
            let stage = |s: &StagePlan| LockedStage {
                stage: s.stage,
                shards: s.units.iter().map(Shard::from).collect(),
            };
            self.stages.iter().filter(of_dataset).map(stage).collect()
        };
        let dataset = |dataset: &Dataset| LockedDataset {
            dataset: dataset.clone(),
            tokeniser: pipeline.tokeniser.clone(),
            tokeniser_files: self.tokeniser.clone(),
            pair: pairs::stated_filter(pipeline, dataset),
            stages: stages(dataset),
        };
        pipeline.datasets.iter().map(dataset).collect()
    }
}

/// How long a piece may be of a recording that is as long as it came: chapters, books, whatever a folder holds.
const MAX_SECONDS: f64 = 30.0;

/// What recordings are cut to, in seconds. Items of pairs and benchmarks are never cut.
fn max_seconds(dataset: &Dataset) -> Option<f64> {
    let recordings = matches!(
        dataset.source,
        Source::Folder(_) | Source::Librispeech(_) | Source::LibriLight(_)
    );
    let default = recordings.then_some(MAX_SECONDS);
    let seconds = dataset.max_seconds.or(default).filter(|s| *s > 0.0);
    seconds.filter(|_| dataset.role == Role::Speech)
}

/// The ingest stage of a dataset and, of a suite, what its folder lacks or has too much of.
fn ingest(dataset: &Dataset) -> Result<(StagePlan, Vec<Refused>), SourceError> {
    let (shards, refused) = match &dataset.source {
        Source::Suite(suite) => {
            let (shards, refused) = suite::shards(dataset, suite)?;
            (Some(shards), refused)
        }
        Source::Units(_) => (Some(vec![]), vec![]),
        _ => (source::shards(dataset)?, vec![]),
    };
    let max_seconds = max_seconds(dataset);
    let work = if let Some(shards) = shards {
        let work = |files: source::ShardFiles| {
            let params = IngestParams {
                source: files.source,
                rows: None,
                part: files.part,
                max_seconds,
                files: files.entries,
                refused: files.refused,
            };
            (Work::Ingest(params), files.inputs)
        };
        shards.into_iter().map(work).collect()
    } else {
        let count = u64::from(dataset.shards.max(1));
        let work = |i| {
            let rows = (dataset.rows * i / count, dataset.rows * (i + 1) / count);
            let source = dataset.source.without_place();
            let params = IngestParams { source, rows: Some(rows), ..IngestParams::default() };
            (Work::Ingest(params), vec![])
        };
        (0..count).map(work).collect()
    };
    Ok((StagePlan::new(&dataset.name, Stage::Ingest, None, work), refused))
}

fn fit_kmeans(pipeline: &Pipeline, plan: &Plan, weights: &[Input]) -> Option<StagePlan> {
    let tokeniser = &pipeline.tokeniser;
    let dataset = tokeniser.fit_on.as_deref()?;
    let corpus = plan.units(dataset, Stage::Ingest);
    let shards = corpus.iter().take(tokeniser.fit_shards as usize).map(WorkUnit::as_input);
    let inputs = shards.chain(weights.iter().cloned()).collect();
    let params =
        FitParams { features: tokeniser.features.clone(), kmeans: tokeniser.kmeans.clone() };
    let work = vec![(Work::FitKmeans(params), inputs)];
    Some(StagePlan::new(dataset, Stage::FitKmeans, Some(&tokeniser.name), work))
}

fn unitise(
    pipeline: &Pipeline,
    dataset: &Dataset,
    corpus: &[WorkUnit],
    fitted: &[Input],
) -> StagePlan {
    let tokeniser = &pipeline.tokeniser;
    let params =
        UnitiseParams { name: tokeniser.name.clone(), features: tokeniser.features.clone() };
    let work = |unit: &WorkUnit| {
        let inputs = std::iter::once(unit.as_input()).chain(fitted.iter().cloned()).collect();
        (Work::Unitise(params.clone()), inputs)
    };
    let work = corpus.iter().map(work).collect();
    StagePlan::new(&dataset.name, Stage::Unitise, Some(&tokeniser.name), work)
}

/// Unit shards of files that hold units, one of each.
fn import_units(
    dataset: &Dataset,
    tokeniser: &str,
    params: &ImportParams,
) -> Result<StagePlan, SourceError> {
    let shards = source::shards(dataset)?.unwrap_or_default();
    // Units of other programs are few large files; one that cannot be listed is no row that may be left out.
    if let Some(refused) = shards.iter().flat_map(|files| &files.refused).next() {
        let (name, fault) = (refused.source.clone(), refused.error.clone());
        return Err(SourceError::Unlisted { name, fault });
    }
    let work = |files: source::ShardFiles| (Work::ImportUnits(params.clone()), files.inputs);
    let work = shards.into_iter().map(work).collect();
    Ok(StagePlan::new(&dataset.name, Stage::Unitise, Some(tokeniser), work))
}

/// A benchmark is one shard: the sides of a pair may lie in different shards before it.
fn benchmark(
    dataset: &Dataset,
    tokeniser: &str,
    before: &[WorkUnit],
    refused: Vec<Refused>,
) -> StagePlan {
    let inputs = before.iter().map(WorkUnit::as_input).collect();
    let work = vec![(Work::Benchmark(BenchmarkParams { refused }), inputs)];
    StagePlan::new(&dataset.name, Stage::Benchmark, Some(tokeniser), work)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;

    fn pipeline(k: u32) -> Pipeline {
        serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 3, "rows": 10, "source": {"kind": "grammar", "part": "stories"}},
                {"name": "p", "role": "preference", "rows": 4, "source": {"kind": "grammar", "part": "stories"}},
                {"name": "b", "role": "benchmark", "rows": 4, "source": {"kind": "grammar", "part": "stories"}},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": k}, "fit_on": "a"},
        }))
        .unwrap()
    }

    #[test]
    fn stages_come_in_an_order_in_which_each_finds_its_inputs() {
        let plan = Plan::new(&pipeline(10)).unwrap();
        let mut made = std::collections::BTreeSet::new();
        for unit in plan.stages.iter().flat_map(|s| &s.units) {
            for input in &unit.inputs {
                assert!(made.contains(&input.key), "{} before its input", unit.output.display());
            }
            made.insert(unit.key.clone());
        }
        let second = &plan.units("a", Stage::Ingest)[1].work;
        assert!(matches!(second, Work::Ingest(p) if p.rows == Some((3, 6))), "{second:?}");
        assert_eq!(plan.units("a", Stage::Unitise).len(), 3);
        assert_eq!(plan.units("p", Stage::Pair).len(), 1);
        assert_eq!(
            plan.units("b", Stage::Benchmark)[0].output,
            PathBuf::from("b/benchmark-v2/m/part-00000-of-00001.parquet")
        );
    }

    #[test]
    fn a_changed_parameter_changes_the_keys_of_what_depends_on_it_and_no_others() {
        let (x, y) = (Plan::new(&pipeline(10)).unwrap(), Plan::new(&pipeline(11)).unwrap());
        for (dataset, stage, same) in [
            ("a", Stage::Ingest, true),
            ("a", Stage::Unitise, false),
            ("b", Stage::Benchmark, false),
        ] {
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
        let source =
            json!({"kind": "units", "folder": dir.path(), "k": 10, "units_per_second": 25.0});
        p.datasets[1].source = serde_json::from_value(source).unwrap();
        let plan = Plan::new(&p).unwrap();
        assert!(plan.units("p", Stage::Ingest).is_empty());
        let units = plan.units("p", Stage::Unitise);
        assert_eq!((units.len(), units[1].inputs.len()), (2, 1));
        let expected = ImportParams {
            tokeniser: "m".into(),
            k: 10,
            units_per_second: 25.0,
            split: "train".into(),
        };
        assert_eq!(units[0].work, Work::ImportUnits(expected));
        assert_eq!(plan.units("p", Stage::Pair).len(), 2);
    }

    #[test]
    fn a_suite_is_ingested_by_its_items_and_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0_a_correct.wav", "1_a_incorrect.wav", "notes.wav"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mut p = pipeline(10);
        let source = json!({"kind": "suite", "layout": "story-cloze", "name": "tsc",
            "folder": dir.path()});
        p.datasets[2].source = serde_json::from_value(source).unwrap();
        let plan = Plan::new(&p).unwrap();
        let ingest = &plan.units("b", Stage::Ingest)[0];
        let Work::Ingest(params) = &ingest.work else { panic!("{ingest:?}") };
        assert_eq!(params.files[0].id.as_deref(), Some("tsc/a/positive"));
        assert_eq!(params.files[0].split.as_deref(), Some("test"));
        assert_eq!(ingest.inputs.len(), 2);
        let Work::Benchmark(params) = &plan.units("b", Stage::Benchmark)[0].work else { panic!() };
        let refused: Vec<_> = params.refused.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(refused, ["notes.wav"]);
    }

    #[test]
    fn a_folder_can_move_without_its_shards_becoming_stale() {
        let of = |dir: &Path| {
            std::fs::write(dir.join("x.wav"), b"sound").unwrap();
            let mut p = pipeline(10);
            let source = json!({"kind": "folder", "folder": dir});
            p.datasets[0].source = serde_json::from_value(source).unwrap();
            Plan::new(&p).unwrap().units("a", Stage::Ingest)[0].key.clone()
        };
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(of(a.path()), of(b.path()));
    }
}
