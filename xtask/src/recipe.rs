//! The whole recipe over a pipeline: the data stages, then the steps of the run.

use std::path::Path;

use slam_pipeline::run::RunStep;
use slam_pipeline::{Plan, RunFile};

use crate::prepare_data::Common;
use crate::run;
use crate::steps::Runner;
use crate::worker::Programs;

/// What a recipe needs beside its run's file.
pub(crate) struct Recipe<'a> {
    /// Pipeline and data root.
    pub(crate) file: &'a RunFile,
    /// Options of the command.
    pub(crate) common: &'a Common,
    /// The worker and what it needs.
    pub(crate) programs: Programs,
    /// The run's folder.
    pub(crate) run: &'a Path,
    /// The command that goes on with the run.
    pub(crate) resume: String,
}

impl Recipe<'_> {
    /// Makes the shards that are not there; returns how many were made and how many were kept.
    pub(crate) fn data(&self, plan: &Plan) -> anyhow::Result<(usize, usize)> {
        let settings = self.common.settings(&self.file.data, self.programs.clone());
        run::check_root(&self.file.data)?;
        let (mut made, mut kept) = (0, 0);
        for stage in &plan.stages {
            let totals = run::stage(stage, &settings)?;
            made += totals.made;
            kept += totals.kept;
        }
        Ok((made, kept))
    }

    /// Carries out the run's steps that `chosen` takes; returns the report's table and how many steps had
    /// something to do.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        chosen: impl Fn(&RunStep) -> bool,
    ) -> anyhow::Result<(String, usize)> {
        self.file.write(self.run)?;
        let runner = self.runner();
        let (mut table, mut worked) = (String::new(), 0);
        let steps = self.file.steps(plan, self.run);
        runner.check(&steps)?;
        for step in steps.iter().filter(|s| chosen(s)) {
            let done = runner.run(step)?;
            if step.command == "report" {
                table = done.text;
            } else {
                worked += usize::from(done.worked);
            }
        }
        Ok((table, worked))
    }

    /// Carries out steps that are not among the run's own.
    pub(crate) fn steps(&self, steps: &[RunStep]) -> anyhow::Result<()> {
        let runner = self.runner();
        steps.iter().try_for_each(|step| runner.run(step).map(|_| ()))
    }

    fn runner(&self) -> Runner {
        Runner {
            worker: self.programs.slam.clone(),
            device: self.common.device.clone(),
            run: self.run.to_owned(),
            json: self.common.json,
            resume: self.resume.clone(),
        }
    }
}
