use std::fs;
use std::path::{Path, PathBuf};

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
    pub(super) fn name(&self) -> String {
        format!("{}-step-{:08}", self.stage.name(), self.step)
    }
}
