//! What follows the data: training, scores and the report, each one request to the worker.

mod steps;

use std::fs;
use std::path::{Path, PathBuf};

use slam_recipe::lock::Prepared;
use slam_recipe::{Request, RunFile};

use crate::source::SourceError;

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
        steps::all(self, data, run)
    }

    fn checkpoint_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep> {
        steps::of_checkpoints(self, data, run)
    }

    fn report_step(&self, data: &Prepared, run: &Path) -> RunStep {
        steps::report(self, data, run)
    }

    fn score_steps(&self, data: &Prepared, run: &Path) -> Vec<RunStep> {
        steps::scores(self, data, run)
    }
}

/// One call of the worker.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStep {
    /// The step's name, unique in the run.
    pub name: String,
    /// What the worker is asked.
    pub request: Request,
}

/// A checkpoint that a stage of a run left on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The stage.
    pub stage: TrainingStage,
    /// The optimiser steps behind it.
    pub step: u64,
    /// Its folder.
    pub folder: PathBuf,
}

/// A stage of a run that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingStage {
    /// Pre-training.
    Pretrain,
    /// Preference optimisation.
    Dpo,
}

impl TrainingStage {
    /// The name of its folder in the run's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Dpo => "dpo",
        }
    }
}

impl Checkpoint {
    /// The checkpoints that are there, in the order of the run.
    pub fn all_of(run: &Path) -> Vec<Self> {
        let mut found = Vec::new();
        for stage in [TrainingStage::Pretrain, TrainingStage::Dpo] {
            let folder = run.join(stage.name()).join("checkpoints");
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
        format!("{}-step-{:08}", self.stage.name(), self.step)
    }
}

#[cfg(test)]
mod tests;
