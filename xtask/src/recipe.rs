//! The whole recipe over a pipeline: the data stages, then the steps of the run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slam_pipeline::run::RunStep;
use slam_pipeline::{Plan, RunFile};

use crate::prepare_data::Common;
use crate::root::Root;
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
        let settings = self.common.settings(&Root::at(&self.file.data), self.programs.clone());
        run::check_root(&self.file.data)?;
        let (mut made, mut kept) = (0, 0);
        for stage in &plan.stages {
            let totals = run::stage(stage, &settings)?;
            made += totals.made;
            kept += totals.kept;
        }
        Ok((made, kept))
    }

    /// Pulls the shards that steps read, where the data root mirrors an object store.
    fn pull<'a>(
        &self,
        plan: &Plan,
        steps: impl Iterator<Item = &'a RunStep>,
    ) -> anyhow::Result<()> {
        let root = Root::at(&self.file.data);
        let mut named = BTreeSet::new();
        steps.for_each(|step| paths(&step.request, &mut named));
        let units = plan.stages.iter().flat_map(|s| &s.units).map(|u| u.output.clone());
        let read = units.filter(|output| named.contains(&root.folder.join(output))).collect();
        if root.store.is_some() { root.pull(&self.programs.slam, read) } else { Ok(()) }
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
        self.pull(plan, steps.iter().filter(|s| chosen(s)))?;
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

/// Every text of a request that may be a path.
fn paths(value: &Value, out: &mut BTreeSet<PathBuf>) {
    match value {
        Value::String(text) => drop(out.insert(PathBuf::from(text))),
        Value::Array(items) => items.iter().for_each(|v| paths(v, out)),
        Value::Object(fields) => fields.values().for_each(|v| paths(v, out)),
        _ => {}
    }
}
