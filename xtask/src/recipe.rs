//! The whole recipe over a pipeline: the data stages, then the steps of the run.

use std::path::{Path, PathBuf};

use slam_dataset::publish;
use slam_pipeline::{Pipeline, Plan, RunPlan};

use crate::prepare_data::Common;
use crate::run;
use crate::steps::Runner;
use crate::worker::Programs;

/// What a recipe needs beside its pipeline.
pub(crate) struct Recipe<'a> {
    /// The pipeline, with everything that was set.
    pub(crate) pipeline: &'a Pipeline,
    /// Options of the command.
    pub(crate) common: &'a Common,
    /// The worker and what it needs.
    pub(crate) programs: Programs,
    /// The data root.
    pub(crate) data: &'a Path,
    /// The run's folder.
    pub(crate) run: &'a Path,
    /// What the report says where the figures mean nothing.
    pub(crate) notice: Option<&'a str>,
    /// The command that goes on with the run.
    pub(crate) resume: String,
}

/// The pipeline of a run, in the run's folder.
pub(crate) fn pipeline_of_run(run: &Path) -> PathBuf {
    run.join("pipeline.json")
}

impl Recipe<'_> {
    /// Makes the shards that are not there; returns how many were made and how many were kept.
    pub(crate) fn data(&self, plan: &Plan) -> anyhow::Result<(usize, usize)> {
        let settings = self.common.settings(self.data, self.programs.clone());
        run::check_root(self.data)?;
        let (mut made, mut kept) = (0, 0);
        for stage in &plan.stages {
            let totals = run::stage(stage, &settings)?;
            made += totals.made;
            kept += totals.kept;
        }
        Ok((made, kept))
    }

    /// Trains, scores and reports; returns the report's table and how many steps had something to do.
    pub(crate) fn run(&self, plan: &Plan) -> anyhow::Result<(String, usize)> {
        let steps = RunPlan::of(self.pipeline, plan, self.data, self.run, self.notice).steps;
        let pipeline = serde_json::to_vec_pretty(self.pipeline)?;
        publish::write(&pipeline_of_run(self.run), &pipeline)?;
        let runner = Runner {
            worker: self.programs.slam.clone(),
            device: self.common.device.clone(),
            run: self.run.to_owned(),
            json: self.common.json,
            resume: self.resume.clone(),
        };
        let (mut table, mut worked) = (String::new(), 0);
        for step in &steps {
            let done = runner.run(step)?;
            if step.command == "report" {
                table = done.text;
            } else {
                worked += usize::from(done.worked);
            }
        }
        Ok((table, worked))
    }
}
