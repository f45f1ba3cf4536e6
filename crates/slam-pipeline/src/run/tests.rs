//! Runs as requests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::json;
use slam_recipe::lock::{Lock, Prepared};
use slam_recipe::request::{DpoRequest, EvaluateRequest, PretrainRequest};
use slam_recipe::{Pipeline, PipelineChoice, Request, RunFile};

use super::*;
use crate::Plan;

fn pipeline(lr: f64) -> Pipeline {
    let spoken = |part: &str| json!({"kind": "grammar", "part": part});
    serde_json::from_value(json!({
        "name": "t",
        "datasets": [
            {"name": "a", "shards": 2, "rows": 10, "source": spoken("stories")},
            {"name": "p", "role": "preference", "rows": 4, "source": spoken("preference")},
            {"name": "b", "role": "benchmark", "rows": 4, "source": spoken("cloze")},
        ],
        "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 9}, "fit_on": "a"},
        "model": {"hidden_size": 8},
        "train": {"datasets": ["a"], "params": {"budget": {"steps": 5}, "optimiser": {"peak_lr": lr}}},
        "dpo": {"datasets": ["p"], "params": {"budget": {"steps": 5}, "beta": 0.1}},
        "evaluate": {"datasets": ["b"], "params": {"convention": "slamkit"}},
    }))
    .unwrap()
}

fn prepared(pipeline: &Pipeline) -> Prepared {
    let datasets = Plan::new(pipeline).unwrap().locked(pipeline);
    let lock = Lock::new(datasets);
    lock.select(Path::new("data"), pipeline, |_| true).unwrap()
}

fn run_file(pipeline: &Pipeline) -> RunFile {
    let named = PipelineChoice::whole("t");
    RunFile { pipeline: pipeline.clone(), data: "data".into(), notice: None, named }
}

fn steps(pipeline: &Pipeline) -> Vec<RunStep> {
    run_file(pipeline).steps(&prepared(pipeline), Path::new("runs/t")).unwrap()
}

fn names(steps: &[RunStep]) -> Vec<&'static str> {
    steps.iter().map(|s| s.request.name()).collect()
}

fn pretrain(step: &RunStep) -> &PretrainRequest {
    let Request::Pretrain(request) = &step.request else { panic!("{step:?}") };
    request
}

fn dpo(step: &RunStep) -> &DpoRequest {
    let Request::Dpo(request) = &step.request else { panic!("{step:?}") };
    request
}

fn evaluate(step: &RunStep) -> &EvaluateRequest {
    let Request::Evaluate(request) = &step.request else { panic!("{step:?}") };
    request
}

#[test]
fn a_run_trains_prefers_scores_each_checkpoint_and_reports() {
    let steps = steps(&pipeline(1e-3));
    assert_eq!(names(&steps), ["pretrain", "dpo", "evaluate", "evaluate", "evaluate", "report"]);
    assert_eq!(pretrain(&steps[0]).datasets[0].shards.len(), 2);
    assert_eq!(evaluate(&steps[4]).checkpoint, Path::new("runs/t/dpo/final"));
}

#[test]
fn another_pretraining_makes_another_preference_run() {
    let key = |lr| dpo(&steps(&pipeline(lr))[1]).data_key.clone();
    assert_eq!(key(1e-3), key(1e-3));
    assert_ne!(key(1e-3), key(2e-3));
}

#[test]
fn logging_and_saving_otherwise_is_no_other_preference_run() {
    let mut often = pipeline(1e-3);
    let optimiser = &mut often.train.as_mut().unwrap().params.optimiser;
    (optimiser.log_every, optimiser.save_every_seconds) = (3, 7.0);
    (optimiser.keep, optimiser.prefetch) = (9, 2);
    let key = |pipeline: &Pipeline| dpo(&steps(pipeline)[1]).data_key.clone();
    assert_eq!(key(&often), key(&pipeline(1e-3)));
}

#[test]
fn other_weights_in_the_same_folder_are_another_start_and_another_folder_is_none() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = |folder: &Path, weights: &str| {
        fs::write(folder.join("config.json"), "{}").unwrap();
        fs::write(folder.join("model.safetensors"), weights).unwrap();
        let mut p = pipeline(1e-3);
        p.model.checkpoint = Some(folder.to_owned());
        let steps = steps(&p);
        (pretrain(&steps[0]).start_key.clone().unwrap(), dpo(&steps[1]).data_key.clone())
    };
    let first = keys(a.path(), "weights");
    assert_eq!(first, keys(b.path(), "weights"));
    let second = keys(a.path(), "weightz");
    assert!(first.0 != second.0 && first.1 != second.1);
    assert_eq!(pretrain(&steps(&pipeline(1e-3))[0]).start_key, None);
}

#[test]
fn intermediate_checkpoints_are_scored_in_the_order_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    for step in ["dpo/checkpoints/step-00000003", "pretrain/checkpoints/step-00000020"] {
        fs::create_dir_all(run.join(step)).unwrap();
    }
    fs::create_dir_all(run.join("pretrain/checkpoints/step-00000009")).unwrap();
    fs::create_dir_all(run.join("pretrain/checkpoints/step-00000030.tmp")).unwrap();
    let pipeline = pipeline(1e-3);
    let data = prepared(&pipeline);
    let file = run_file(&pipeline);
    let steps = file.checkpoint_steps(&data, run);
    let names: Vec<_> = steps.iter().map(|s| s.name.as_str()).collect();
    let expected = ["evaluate pretrain step 9", "evaluate pretrain step 20", "evaluate dpo step 3"];
    assert_eq!(names, expected);
    let out = run.join("scores/pretrain-step-00000009.parquet");
    assert_eq!(evaluate(&steps[0]).out, out);
    let drawn = || match file.report_step(&data, run).request {
        Request::Report(report) => report.intermediate.pretrain.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(drawn(), 0);
    fs::create_dir_all(out.parent().unwrap()).unwrap();
    fs::write(&out, b"").unwrap();
    assert_eq!(drawn(), 1);
}

#[test]
fn suites_are_scored_during_training_where_the_pipeline_says_so() {
    let mut p = pipeline(1e-3);
    assert_eq!(pretrain(&steps(&p)[0]).suites, None);
    p.evaluate.as_mut().unwrap().during_training = vec!["b".into()];
    let steps = steps(&p);
    for suites in [&pretrain(&steps[0]).suites, &dpo(&steps[1]).suites] {
        let suites = suites.as_ref().unwrap();
        assert_eq!(suites.shards.len(), 1);
        assert_eq!(suites.convention, p.evaluate.as_ref().unwrap().params.convention);
    }
}

#[test]
fn without_training_there_is_only_a_report() {
    let mut p = pipeline(1e-3);
    p.train = None;
    assert_eq!(names(&steps(&p)), ["report"]);
}

#[test]
fn preference_optimisation_may_start_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let with = |config: &str| {
        fs::write(folder.path().join("config.json"), config).unwrap();
        let mut p = pipeline(1e-3);
        p.dpo.as_mut().unwrap().policy = Some(folder.path().to_owned());
        assert!(p.check().unwrap_err().to_string().contains("policy"));
        p.train = None;
        p.check().unwrap();
        steps(&p)
    };
    let first = with("1");
    assert_eq!(names(&first), ["dpo", "evaluate", "evaluate", "report"]);
    assert_eq!(dpo(&first[0]).policy, folder.path());
    assert_eq!(evaluate(&first[1]).checkpoint, folder.path());
    assert_ne!(dpo(&first[0]).data_key, dpo(&with("2")[0]).data_key);
}
