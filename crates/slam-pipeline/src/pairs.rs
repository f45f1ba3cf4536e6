//! Preference datasets that are made of something else than recordings: neither ingested nor unitised, planned
//! as a pair stage of their own.

use std::path::{Path, PathBuf};

use slam_recipe::params::{PairFilter, PairParams};
use slam_recipe::pipeline::{Dataset, PreferenceOptimisation};
use slam_recipe::source::Source;
use slam_recipe::work::Input;
use slam_recipe::{Pipeline, Stage, Work, WorkUnit};

use crate::source::{self, SourceError};
use crate::stage_plan::StagePlan;

/// Which pairs of a dataset are left out, where `[dpo]` says so.
pub(crate) fn stated_filter(pipeline: &Pipeline, dataset: &Dataset) -> Option<PairFilter> {
    let names = |dpo: &&PreferenceOptimisation| dpo.datasets.contains(&dataset.name);
    pipeline.dpo.as_ref().filter(names).map(|dpo| dpo.pair)
}

/// Which pairs of a dataset are left out.
pub(crate) fn filter(pipeline: &Pipeline, dataset: &Dataset) -> PairFilter {
    stated_filter(pipeline, dataset).unwrap_or_default()
}

/// Plans the pair stage of a dataset of no recordings; `units` are the unit shards of the dataset that it is made
/// of.
pub(crate) fn plan(
    filter: PairFilter,
    tokeniser: &str,
    dataset: &Dataset,
    units: &[WorkUnit],
) -> Result<StagePlan, SourceError> {
    let source = Some(dataset.source.without_place());
    let params = PairParams { filter, source, ..PairParams::default() };
    let mut work: Vec<(PairParams, Vec<Input>)> = Vec::new();
    match &dataset.source {
        Source::SlamkitPairs(lines) => {
            for file in lines.folder.as_deref().map(lines_files).transpose()?.unwrap_or_default() {
                let inputs: Vec<_> = std::iter::once(source::input(&file)?)
                    .chain(units.first().map(WorkUnit::as_input))
                    .collect();
                let parts = dataset.shards.max(1);
                for part in 0..parts {
                    let params = PairParams { part: (part, parts), ..params.clone() };
                    work.push((params, inputs.clone()));
                }
            }
        }
        Source::Sampled(sampled) => {
            let model = match &sampled.checkpoint {
                Some(folder) => source::checkpoint_files(folder)?,
                None => vec![],
            };
            let inputs = |u: &WorkUnit| std::iter::once(u.as_input()).chain(model.iter().cloned());
            work.extend(units.iter().map(|u| (params.clone(), inputs(u).collect())));
        }
        _ => work.extend(units.iter().map(|u| (params.clone(), vec![u.as_input()]))),
    }
    let work = work.into_iter().map(|(params, inputs)| (Work::Pair(params), inputs)).collect();
    Ok(StagePlan::new(&dataset.name, Stage::Pair, Some(tokeniser), work))
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
    use serde_json::{Value, json};

    fn pipeline(source: Value) -> Result<Pipeline, String> {
        let p: Pipeline = serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 3, "rows": 10, "source": {"kind": "grammar", "part": "stories"}},
                {"name": "p", "role": "preference", "source": source},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 9}, "fit_on": "a"},
            "dpo": {"datasets": ["p"], "params": {"budget": {"steps": 1}}, "pair": {"max_auto_bleu2": 0.5}},
        }))
        .unwrap();
        p.check().map_err(|e| e.to_string())?;
        Ok(p)
    }

    #[test]
    fn a_pair_shard_follows_each_unit_shard_of_the_stories() {
        let p = pipeline(json!({"kind": "own-continuation", "of": "a", "seed": 1})).unwrap();
        let plan = Plan::new(&p).unwrap();
        assert!(
            plan.units("p", Stage::Ingest).is_empty() && plan.units("p", Stage::Unitise).is_empty()
        );
        let pairs = plan.units("p", Stage::Pair);
        assert_eq!(pairs.len(), 3);
        assert_eq!(pairs[1].inputs, [plan.units("a", Stage::Unitise)[1].as_input()]);
        let Work::Pair(params) = &pairs[1].work else { panic!("{pairs:?}") };
        assert_eq!(params.filter.max_auto_bleu2, 0.5);
        let Some(Source::OwnContinuation(own)) = &params.source else { panic!("{params:?}") };
        assert_eq!((own.seed, &own.of), (1, &None));
    }

    #[test]
    fn each_file_of_lines_is_cut_into_shards_and_may_move() {
        let of = |dir: &Path| {
            for name in ["b.jsonl", "a.jsonl", "c.txt"] {
                std::fs::write(dir.join(name), name).unwrap();
            }
            let mut p = pipeline(json!({"kind": "slamkit-pairs", "folder": dir})).unwrap();
            p.datasets[1].shards = 2;
            Plan::new(&p).unwrap().units("p", Stage::Pair).to_vec()
        };
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (of(a.path()), of(b.path()));
        assert_eq!(here.len(), 4);
        assert!(here[0].inputs[0].path.ends_with("a.jsonl"));
        assert!(matches!(&here[3].work, Work::Pair(p) if p.part == (1, 2)));
        let keys = |units: &[WorkUnit]| units.iter().map(|u| u.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&here), keys(&there));
        std::fs::remove_file(a.path().join("a.jsonl")).unwrap();
        std::fs::remove_file(a.path().join("b.jsonl")).unwrap();
        let p = pipeline(json!({"kind": "slamkit-pairs", "folder": a.path()})).unwrap();
        assert!(Plan::new(&p).unwrap_err().to_string().contains("no .jsonl files"));
    }

    #[test]
    fn sampled_pairs_depend_on_the_model() {
        let dir = tempfile::tempdir().unwrap();
        let source = json!({"kind": "sampled", "of": "a", "checkpoint": dir.path(), "scorer": {"command": "x"}});
        let key = |text: &str| {
            std::fs::write(dir.path().join("config.json"), text).unwrap();
            let p = pipeline(source.clone()).unwrap();
            Plan::new(&p).unwrap().units("p", Stage::Pair)[0].key.clone()
        };
        assert_eq!(key("1"), key("1"));
        assert_ne!(key("1"), key("2"));
    }
}
