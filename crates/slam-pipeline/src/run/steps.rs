//! The steps of a run as requests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use slam_recipe::evaluation::ProbeRequest;
use slam_recipe::lock::{Made, Prepared, Shard};
use slam_recipe::pipeline::Dataset;
use slam_recipe::request::{
    DatasetCounts, DatasetFiles, DpoRequest, EvaluateRequest, IntermediateScores, PretrainRequest,
    ReportRequest, ScoredCheckpoint, UnitShards, Usage,
};
use slam_recipe::{Key, Pipeline, Request, RunFile, Stage};

use super::checkpoint::{Checkpoint, TrainingStage};
use crate::source::{self, SourceError};

/// One call of the worker.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStep {
    /// The step's name, unique in the run.
    pub name: String,
    /// What the worker is asked.
    pub request: Request,
}

/// A checkpoint of the run that is scored.
struct Scored {
    name: &'static str,
    label: &'static str,
    checkpoint: PathBuf,
}

/// The steps of a run.
pub trait Steps {
    /// The steps of the run over prepared data. The checkpoints that it starts from are hashed.
    ///
    /// # Errors
    /// If a checkpoint that the pipeline starts from cannot be read.
    fn steps(&self, data: &Prepared, run: &Path) -> Result<Vec<RunStep>, SourceError>;

    /// A step for each checkpoint that training left on its way: its scores.
    fn checkpoint_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep>;

    /// The report of the run alone; no checkpoint is read.
    fn report_step(&self, data: &Prepared, run: &Path) -> RunStep;

    /// The scores of the run's checkpoints and its report; no checkpoint is hashed.
    fn score_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep>;
}

impl Steps for RunFile {
    fn steps(&self, data: &Prepared, run: &Path) -> Result<Vec<RunStep>, SourceError> {
        all(self, data, run)
    }

    fn checkpoint_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep> {
        of_checkpoints(self, data, run)
    }

    fn report_step(&self, data: &Prepared, run: &Path) -> RunStep {
        report(self, data, run)
    }

    fn score_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep> {
        scores(self, data, run)
    }
}

/// Every step, in order.
fn all(file: &RunFile, data: &Prepared, run: &Path) -> Result<Vec<RunStep>, SourceError> {
    let run = Run::new(file, data, run);
    let mut steps = Vec::new();
    let mut policy = None;
    if let Some((step, key)) = run.pretrain()? {
        steps.push(step);
        policy = Some((run.final_of(TrainingStage::Pretrain), key));
    } else if let Some(folder) = run.pipeline.dpo.as_ref().and_then(|dpo| dpo.policy.clone()) {
        let key = checkpoint_key(&folder)?;
        policy = Some((folder, key));
    }
    steps.extend(policy.and_then(|(folder, key)| run.dpo(&folder, &key)));
    steps.extend(run.scores());
    Ok(steps)
}

/// The steps that score and report.
fn scores(file: &RunFile, data: &Prepared, run: &Path) -> Vec<RunStep> {
    Run::new(file, data, run).scores()
}

/// The report.
fn report(file: &RunFile, data: &Prepared, run: &Path) -> RunStep {
    let run = Run::new(file, data, run);
    run.report(&run.scored())
}

/// Scores of the checkpoints that training left on its way.
fn of_checkpoints(file: &RunFile, data: &Prepared, run: &Path) -> Vec<RunStep> {
    let run_of = Run::new(file, data, run);
    let step = |c: Checkpoint| {
        let label = format!("{} step {}", c.stage.name(), c.step);
        run_of.evaluate(&c.name(), &label, &c.folder)
    };
    Checkpoint::all_of(run).into_iter().filter_map(step).collect()
}

/// The key of a checkpoint's content.
fn checkpoint_key(folder: &Path) -> Result<Key, SourceError> {
    let files = source::checkpoint_files(folder)?;
    let names = files.iter().filter_map(|f| f.path.file_name()?.to_str()).collect::<Vec<_>>();
    Ok(Key::of_work("checkpoint", 1, &json!(names), files.iter().map(|f| &f.key)))
}

struct Run<'a> {
    pipeline: &'a Pipeline,
    data: &'a Prepared,
    root: &'a Path,
    folder: &'a Path,
    notice: Option<&'a str>,
}

impl<'a> Run<'a> {
    fn new(file: &'a RunFile, data: &'a Prepared, folder: &'a Path) -> Self {
        let RunFile { pipeline, data: root, notice, .. } = file;
        Self { pipeline, data, root, folder, notice: notice.as_deref() }
    }

    fn shards(&self, datasets: &[String], stage: Stage) -> Vec<&'a Shard> {
        datasets.iter().flat_map(|d| self.data.shards(d, stage)).collect()
    }

    fn paths(&self, shards: &[&Shard]) -> Vec<PathBuf> {
        shards.iter().map(|s| self.root.join(&s.output)).collect()
    }

    fn final_of(&self, stage: TrainingStage) -> PathBuf {
        self.folder.join(stage.name()).join("final")
    }

    /// Pre-training, and the key of the model that it makes.
    fn pretrain(&self) -> Result<Option<(RunStep, Key)>, SourceError> {
        let Some(training) = &self.pipeline.train else { return Ok(None) };
        let shards = self.shards(&training.datasets, Stage::Unitise);
        let data_key = Key::of_work("training-data", 1, &json!({}), shards.iter().map(|s| &s.key));
        let unit_shards = |name: &String| UnitShards {
            name: name.clone(),
            shards: self.paths(&self.shards(std::slice::from_ref(name), Stage::Unitise)),
        };
        let model = &self.pipeline.model;
        let start_key = model.checkpoint.as_deref().map(checkpoint_key).transpose()?;
        // The checkpoint's content counts, not its place.
        let what = json!({"params": training.params.identity(), "model": model.config});
        let key = Key::of_work("pretrained", 2, &what, [&data_key].into_iter().chain(&start_key));
        let request = PretrainRequest {
            params: training.params.clone(),
            model: model.clone(),
            start_key,
            datasets: training.datasets.iter().map(unit_shards).collect(),
            data_key,
            run: self.folder.join(TrainingStage::Pretrain.name()),
            suites: self.suites(),
        };
        let step = RunStep { name: "pretrain".into(), request: Request::Pretrain(request) };
        Ok(Some((step, key)))
    }

    fn dpo(&self, policy: &Path, key: &Key) -> Option<RunStep> {
        let training = self.pipeline.dpo.as_ref()?;
        let shards = self.shards(&training.datasets, Stage::Pair);
        let keys = shards.iter().map(|s| &s.key).chain([key]);
        let request = DpoRequest {
            params: training.params.clone(),
            policy: policy.to_owned(),
            shards: self.paths(&shards),
            data_key: Key::of_work("preference-data", 1, &json!({}), keys),
            run: self.folder.join(TrainingStage::Dpo.name()),
            suites: self.suites(),
        };
        Some(RunStep { name: "dpo".into(), request: Request::Dpo(request) })
    }

    /// What is scored during training.
    fn suites(&self) -> Option<ProbeRequest> {
        let evaluation = self.pipeline.evaluate.as_ref()?;
        let shards = self.shards(&evaluation.during_training, Stage::Benchmark);
        (!shards.is_empty()).then(|| ProbeRequest {
            shards: self.paths(&shards),
            pairs: evaluation.during_training_pairs,
            convention: evaluation.params.convention,
        })
    }

    /// The checkpoints that are scored, in the order of the run.
    fn scored(&self) -> Vec<Scored> {
        let mut scored = Vec::new();
        let dpo = self.pipeline.dpo.as_ref();
        let policy = dpo.and_then(|dpo| dpo.policy.clone());
        let trained = self.pipeline.train.is_some();
        if trained {
            scored.push(Scored {
                name: "before-training",
                label: "before training",
                checkpoint: self.folder.join(TrainingStage::Pretrain.name()).join("initial"),
            });
            scored.push(Scored {
                name: "pretrained",
                label: "after pre-training",
                checkpoint: self.final_of(TrainingStage::Pretrain),
            });
        }
        let has_policy = trained || policy.is_some();
        scored.extend(policy.map(|checkpoint| Scored {
            name: "policy",
            label: "before DPO",
            checkpoint,
        }));
        if dpo.is_some() && has_policy {
            scored.push(Scored {
                name: "preferred",
                label: "after DPO",
                checkpoint: self.final_of(TrainingStage::Dpo),
            });
        }
        scored
    }

    /// The steps that score and report.
    fn scores(&self) -> Vec<RunStep> {
        let scored = self.scored();
        let evaluate = |s: &Scored| self.evaluate(s.name, s.label, &s.checkpoint);
        let mut steps: Vec<_> = scored.iter().filter_map(evaluate).collect();
        steps.push(self.report(&scored));
        steps
    }

    fn scores_file(&self, name: &str) -> PathBuf {
        self.folder.join("scores").join(format!("{name}.parquet"))
    }

    fn evaluate(&self, name: &str, label: &str, checkpoint: &Path) -> Option<RunStep> {
        let evaluation = self.pipeline.evaluate.as_ref()?;
        let shards = self.shards(&evaluation.datasets, Stage::Benchmark);
        let request = EvaluateRequest {
            checkpoint: checkpoint.to_owned(),
            shards: self.paths(&shards),
            convention: evaluation.params.convention,
            out: self.scores_file(name),
        };
        let name = format!("evaluate {label}");
        Some(RunStep { name, request: Request::Evaluate(request) })
    }

    /// Scores of intermediate checkpoints that are there; the checkpoints themselves may be gone.
    fn intermediate(&self, stage: TrainingStage) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("scores")).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{}-step-", stage.name())) && name.ends_with(".parquet")
            })
            .collect();
        found.sort();
        found
    }

    fn report(&self, scored: &[Scored]) -> RunStep {
        let stage = |stage: TrainingStage| self.folder.join(stage.name());
        let evaluated = self.pipeline.evaluate.is_some();
        let scores = scored.iter().filter(|_| evaluated).map(|s| ScoredCheckpoint {
            label: s.label.to_owned(),
            scores: self.scores_file(s.name),
        });
        let request = ReportRequest {
            title: self.pipeline.name.clone(),
            notice: self.notice.map(str::to_owned),
            pipeline: self.pipeline.clone(),
            datasets: self.pipeline.datasets.iter().map(|d| self.files(d)).collect(),
            pretrain: self.pipeline.train.as_ref().map(|_| stage(TrainingStage::Pretrain)),
            dpo: self.pipeline.dpo.as_ref().map(|_| stage(TrainingStage::Dpo)),
            scores: scores.collect(),
            intermediate: IntermediateScores {
                pretrain: self.intermediate(TrainingStage::Pretrain),
                dpo: self.intermediate(TrainingStage::Dpo),
            },
            out: self.folder.join("report.html"),
        };
        RunStep { name: "report".into(), request: Request::Report(Box::new(request)) }
    }

    fn files(&self, dataset: &Dataset) -> DatasetFiles {
        let trains = |d: &Dataset| {
            self.pipeline.train.as_ref().is_some_and(|t| t.datasets.contains(&d.name))
        };
        let files =
            |stage| self.paths(&self.data.shards(&dataset.name, stage).iter().collect::<Vec<_>>());
        DatasetFiles {
            name: dataset.name.clone(),
            role: dataset.role,
            usage: if trains(dataset) { Usage::Training } else { Usage::Other },
            licence: dataset.licence.clone(),
            counts: self.counts(&dataset.name),
            corpus: files(Stage::Ingest),
            units: files(Stage::Unitise),
        }
    }

    /// What a dataset holds, as the lock counts it: the machine need not have the corpus.
    fn counts(&self, dataset: &str) -> DatasetCounts {
        let made = |stage| self.data.shards(dataset, stage).iter().filter_map(|s| s.made.as_ref());
        let total = |made: &Made, name: &str| made.totals.get(name).copied().unwrap_or_default();
        let mut counts = DatasetCounts::default();
        for shard in made(Stage::Ingest) {
            counts.utterances += shard.rows;
            counts.audio_seconds += total(shard, "audio_seconds");
            counts.quarantined += shard.quarantined;
        }
        for shard in made(Stage::Unitise) {
            counts.units += total(shard, "units") as u64;
            counts.quarantined += shard.quarantined;
        }
        counts
    }
}
