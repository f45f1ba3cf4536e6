//! What follows the data: training, scores and the report, each one request to the worker.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slam_dataset::publish::{self, PublishError};
use slam_dataset::{Key, WorkUnit, stage};

use crate::file::{Dataset, Pipeline, PipelineError};
use crate::plan::Plan;

/// What a run's folder says about itself, so that it can be gone on with and reported again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The pipeline, with everything that was set.
    pub pipeline: Pipeline,
    /// The data root.
    pub data: PathBuf,
    /// What the report says where the figures mean nothing.
    pub notice: Option<String>,
}

impl RunFile {
    /// The file's name in a run's folder.
    pub const NAME: &'static str = "run.json";

    /// Reads a run's file.
    ///
    /// # Errors
    /// If it is missing or no run's.
    pub fn read(run: &Path) -> Result<Self, PipelineError> {
        let path = run.join(Self::NAME);
        let bytes =
            fs::read(&path).map_err(|source| PipelineError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|e| PipelineError::Parse { path, message: e.to_string() })
    }

    /// Writes a run's file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, run: &Path) -> Result<(), PublishError> {
        publish::write(&run.join(Self::NAME), &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// The steps of the run.
    pub fn steps(&self, plan: &Plan, run: &Path) -> Vec<RunStep> {
        RunPlan::of(&self.pipeline, plan, &self.data, run, self.notice.as_deref()).steps
    }

    /// A step for each checkpoint that the run left on its way: its scores.
    pub fn checkpoint_steps(&self, plan: &Plan, run: &Path) -> Vec<RunStep> {
        let run_of = Run { pipeline: &self.pipeline, plan, root: &self.data, folder: run };
        let step = |c: Checkpoint| {
            let label = format!("{} step {}", c.stage, c.step);
            run_of.evaluate(&c.name(), &label, &c.folder)
        };
        Checkpoint::all_of(run).into_iter().filter_map(step).collect()
    }
}

/// A checkpoint that a stage of a run left on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `pretrain` or `dpo`.
    pub stage: &'static str,
    /// The optimiser steps behind it.
    pub step: u64,
    /// Its folder.
    pub folder: PathBuf,
}

impl Checkpoint {
    /// The checkpoints that are there, in the order of the run.
    pub fn all_of(run: &Path) -> Vec<Self> {
        let mut found = Vec::new();
        for stage in ["pretrain", "dpo"] {
            let folder = run.join(stage).join("checkpoints");
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut steps: Vec<Self> = entries
                .filter_map(|e| {
                    let step = e.file_name().to_str()?.strip_prefix("step-")?.parse().ok()?;
                    Some(Self { stage, step, folder: e.path() })
                })
                .collect();
            steps.sort_by_key(|c| c.step);
            found.extend(steps);
        }
        found
    }

    /// The name of its scores.
    fn name(&self) -> String {
        format!("{}-step-{:08}", self.stage, self.step)
    }
}

/// The steps of a run, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPlan {
    /// The steps.
    pub steps: Vec<RunStep>,
}

/// One call of the worker.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStep {
    /// The step's name, unique in the run.
    pub name: String,
    /// The worker's command.
    pub command: &'static str,
    /// What it reads.
    pub request: Value,
}

/// A checkpoint of the run that is scored.
struct Scored {
    name: &'static str,
    label: &'static str,
    checkpoint: PathBuf,
}

impl RunPlan {
    /// Plans a pipeline's run over shards below `root`, in the folder `run`. `notice` is said in the
    /// report where the run is no honest one.
    pub fn of(
        pipeline: &Pipeline,
        plan: &Plan,
        root: &Path,
        run: &Path,
        notice: Option<&str>,
    ) -> Self {
        let run_of = Run { pipeline, plan, root, folder: run };
        let mut steps = Vec::new();
        let mut scored = Vec::new();
        let pretrain = run_of.pretrain();
        if let Some((step, _)) = &pretrain {
            steps.push(step.clone());
            let folder = run.join("pretrain");
            scored.push(Scored {
                name: "before-training",
                label: "before training",
                checkpoint: folder.join("initial"),
            });
            scored.push(Scored {
                name: "pretrained",
                label: "after pre-training",
                checkpoint: folder.join("final"),
            });
        }
        let trained = pretrain.map(|(_, key)| (run.join("pretrain").join("final"), key));
        let named = run_of.named_policy();
        scored.extend(named.iter().map(|(checkpoint, _)| Scored {
            name: "policy",
            label: "before DPO",
            checkpoint: checkpoint.clone(),
        }));
        if let Some(step) = trained.or(named).and_then(|(folder, key)| run_of.dpo(&folder, &key)) {
            steps.push(step);
            scored.push(Scored {
                name: "preferred",
                label: "after DPO",
                checkpoint: run.join("dpo").join("final"),
            });
        }
        steps.extend(scored.iter().filter_map(|s| run_of.evaluate(s.name, s.label, &s.checkpoint)));
        steps.push(run_of.report(&scored, notice));
        Self { steps }
    }
}

struct Run<'a> {
    pipeline: &'a Pipeline,
    plan: &'a Plan,
    root: &'a Path,
    folder: &'a Path,
}

impl Run<'_> {
    fn units(&self, datasets: &[String], stage: &str) -> Vec<&WorkUnit> {
        datasets.iter().flat_map(|d| self.plan.units(d, stage)).collect()
    }

    fn paths(&self, units: &[&WorkUnit]) -> Vec<PathBuf> {
        units.iter().map(|u| self.root.join(&u.output)).collect()
    }

    fn pretrain(&self) -> Option<(RunStep, Key)> {
        let training = self.pipeline.train.as_ref()?;
        let units = self.units(&training.datasets, stage::UNITISE.name);
        let data_key = Key::of_work("training-data", 1, &json!({}), units.iter().map(|u| &u.key));
        let shards_of = |name| self.units(std::slice::from_ref(name), stage::UNITISE.name);
        let datasets: Vec<Value> = training
            .datasets
            .iter()
            .map(|name| json!({"name": name, "shards": self.paths(&shards_of(name))}))
            .collect();
        let request = json!({
            "params": training.params,
            "model": self.pipeline.model,
            "datasets": datasets,
            "data_key": data_key,
            "run": self.folder.join("pretrain"),
            "suites": self.suites(),
        });
        let what = json!({"params": training.params, "model": self.pipeline.model});
        let key = Key::of_work("pretrained", 1, &what, [&data_key]);
        Some((RunStep { name: "pretrain".into(), command: "pretrain", request }, key))
    }

    /// The checkpoint that the pipeline names for preference optimisation to start from.
    fn named_policy(&self) -> Option<(PathBuf, Key)> {
        let folder = self.pipeline.dpo.as_ref()?.policy.clone()?;
        let keys = self.plan.policy.iter().map(|i| &i.key);
        Some((folder, Key::of_work("policy", 1, &json!({}), keys)))
    }

    fn dpo(&self, policy: &Path, key: &Key) -> Option<RunStep> {
        let training = self.pipeline.dpo.as_ref()?;
        let units = self.units(&training.datasets, stage::PAIR.name);
        let keys = units.iter().map(|u| &u.key).chain([key]);
        let request = json!({
            "params": training.params,
            "policy": policy,
            "shards": self.paths(&units),
            "data_key": Key::of_work("preference-data", 1, &json!({}), keys),
            "run": self.folder.join("dpo"),
            "suites": self.suites(),
        });
        Some(RunStep { name: "dpo".into(), command: "dpo", request })
    }

    /// What is scored during training; null where nothing is.
    fn suites(&self) -> Value {
        let Some(evaluation) = &self.pipeline.evaluate else { return Value::Null };
        let units = self.units(&evaluation.during_training, stage::BENCHMARK.name);
        if units.is_empty() {
            return Value::Null;
        }
        json!({
            "shards": self.paths(&units),
            "pairs": evaluation.during_training_pairs,
            "convention": evaluation.params.get("convention"),
        })
    }

    fn scores(&self, name: &str) -> PathBuf {
        self.folder.join("scores").join(format!("{name}.parquet"))
    }

    fn evaluate(&self, name: &str, label: &str, checkpoint: &Path) -> Option<RunStep> {
        let evaluation = self.pipeline.evaluate.as_ref()?;
        let units = self.units(&evaluation.datasets, stage::BENCHMARK.name);
        let mut request = json!({
            "checkpoint": checkpoint,
            "shards": self.paths(&units),
            "out": self.scores(name),
        });
        if let (Some(request), Some(params)) =
            (request.as_object_mut(), evaluation.params.as_object())
        {
            request.extend(params.clone());
        }
        let name = format!("evaluate {label}");
        Some(RunStep { name, command: "evaluate", request })
    }

    /// Scores of checkpoints on the way that are there; the checkpoints themselves may be gone.
    fn on_the_way(&self, stage: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("scores")).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{stage}-step-")) && name.ends_with(".parquet")
            })
            .collect();
        found.sort();
        found
    }

    fn report(&self, scored: &[Scored], notice: Option<&str>) -> RunStep {
        let trains = |d: &Dataset| {
            self.pipeline.train.as_ref().is_some_and(|t| t.datasets.contains(&d.name))
        };
        let datasets: Vec<Value> = self
            .pipeline
            .datasets
            .iter()
            .map(|d| {
                let of =
                    |stage| self.paths(&self.plan.units(&d.name, stage).iter().collect::<Vec<_>>());
                json!({
                    "name": d.name,
                    "role": d.role,
                    "trains": trains(d),
                    "licence": d.licence,
                    "corpus": of(stage::INGEST.name),
                    "units": of(stage::UNITISE.name),
                })
            })
            .collect();
        let scores: Vec<Value> = scored
            .iter()
            .filter(|_| self.pipeline.evaluate.is_some())
            .map(|s| json!({"label": s.label, "scores": self.scores(s.name)}))
            .collect();
        let request = json!({
            "title": self.pipeline.name,
            "notice": notice,
            "pipeline": self.pipeline,
            "datasets": datasets,
            "pretrain": self.pipeline.train.as_ref().map(|_| self.folder.join("pretrain")),
            "dpo": self.pipeline.dpo.as_ref().map(|_| self.folder.join("dpo")),
            "scores": scores,
            "on_the_way": {"pretrain": self.on_the_way("pretrain"), "dpo": self.on_the_way("dpo")},
            "out": self.folder.join("report.html"),
        });
        RunStep { name: "report".into(), command: "report", request }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pipeline(lr: f64) -> Pipeline {
        serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 2, "rows": 10, "source": {"kind": "g"}},
                {"name": "p", "role": "preference", "rows": 4, "source": {"kind": "g"}},
                {"name": "b", "role": "benchmark", "rows": 4, "source": {"kind": "g"}},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 9}, "fit_on": "a"},
            "model": {"hidden_size": 8},
            "train": {"datasets": ["a"], "params": {"optimiser": {"peak_lr": lr}}},
            "dpo": {"datasets": ["p"], "params": {"beta": 0.1}},
            "evaluate": {"datasets": ["b"], "params": {"convention": "slamkit"}},
        }))
        .unwrap()
    }

    fn plan(pipeline: &Pipeline) -> RunPlan {
        let plan = Plan::of(pipeline).unwrap();
        RunPlan::of(pipeline, &plan, Path::new("data"), Path::new("runs/t"), None)
    }

    #[test]
    fn a_run_trains_prefers_scores_each_checkpoint_and_reports() {
        let commands: Vec<_> = plan(&pipeline(1e-3)).steps.iter().map(|s| s.command).collect();
        assert_eq!(commands, ["pretrain", "dpo", "evaluate", "evaluate", "evaluate", "report"]);
    }

    #[test]
    fn another_pretraining_makes_another_preference_run() {
        let key = |lr| plan(&pipeline(lr)).steps[1].request["data_key"].clone();
        assert_eq!(key(1e-3), key(1e-3));
        assert_ne!(key(1e-3), key(2e-3));
    }

    #[test]
    fn checkpoints_on_the_way_are_scored_in_the_order_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        for step in ["dpo/checkpoints/step-00000003", "pretrain/checkpoints/step-00000020"] {
            fs::create_dir_all(run.join(step)).unwrap();
        }
        fs::create_dir_all(run.join("pretrain/checkpoints/step-00000009")).unwrap();
        fs::create_dir_all(run.join("pretrain/checkpoints/step-00000030.tmp")).unwrap();
        let pipeline = pipeline(1e-3);
        let plan = Plan::of(&pipeline).unwrap();
        let file = RunFile { pipeline, data: "data".into(), notice: None };
        let steps = file.checkpoint_steps(&plan, run);
        let names: Vec<_> = steps.iter().map(|s| s.name.as_str()).collect();
        let expected =
            ["evaluate pretrain step 9", "evaluate pretrain step 20", "evaluate dpo step 3"];
        assert_eq!(names, expected);
        let out = run.join("scores/pretrain-step-00000009.parquet");
        assert_eq!(steps[0].request["out"], json!(out));
        let drawn = |file: &RunFile| {
            let report = file.steps(&plan, run).pop().unwrap();
            report.request["on_the_way"]["pretrain"].as_array().unwrap().len()
        };
        assert_eq!(drawn(&file), 0);
        fs::create_dir_all(out.parent().unwrap()).unwrap();
        fs::write(&out, b"").unwrap();
        assert_eq!(drawn(&file), 1);
    }

    #[test]
    fn suites_are_scored_during_training_where_the_pipeline_says_so() {
        let mut p = pipeline(1e-3);
        assert_eq!(plan(&p).steps[0].request["suites"], Value::Null);
        p.evaluate.as_mut().unwrap().during_training = vec!["b".into()];
        for step in &plan(&p).steps[..2] {
            assert_eq!(step.request["suites"]["shards"].as_array().unwrap().len(), 1);
            assert_eq!(step.request["suites"]["convention"], "slamkit");
        }
    }

    #[test]
    fn without_training_there_is_only_a_report() {
        let mut p = pipeline(1e-3);
        p.train = None;
        assert_eq!(plan(&p).steps.len(), 1);
    }

    #[test]
    fn preference_optimisation_may_start_from_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let steps = |config: &str| {
            fs::write(folder.path().join("config.json"), config).unwrap();
            let mut p = pipeline(1e-3);
            p.dpo.as_mut().unwrap().policy = Some(folder.path().to_owned());
            assert!(p.check().unwrap_err().to_string().contains("policy"));
            p.train = None;
            p.check().unwrap();
            plan(&p).steps
        };
        let first = steps("1");
        let commands: Vec<_> = first.iter().map(|s| s.command).collect();
        assert_eq!(commands, ["dpo", "evaluate", "evaluate", "report"]);
        assert_eq!(first[0].request["policy"], json!(folder.path()));
        assert_eq!(first[1].request["checkpoint"], json!(folder.path()));
        assert_ne!(first[0].request["data_key"], steps("2")[0].request["data_key"]);
    }
}
