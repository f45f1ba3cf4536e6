//! The whole recipe over a pipeline: the data stages, then the steps of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::bail;
use slam_pipeline::run::TrainingStage;
use slam_pipeline::{Plan, RunStep};
use slam_recipe::Request;
use slam_recipe::RunFile;
use slam_recipe::event::Outcome;
use slam_recipe::lock::Prepared;
use slam_recipe::publish::PublishError;

use crate::options::Common;
use crate::prepared;
use crate::programs::Programs;
use crate::root::Root;
use crate::run;
use crate::steps::Runner;

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

/// What the steps of a run came to.
#[derive(Debug, Default)]
pub(crate) struct Worked {
    /// The report's table.
    pub(crate) table: String,
    /// How many steps had something to do.
    pub(crate) steps: usize,
}

impl Recipe<'_> {
    /// Makes the shards that are not there, and notes them in the lock; returns how many were made and how many
    /// were kept.
    pub(crate) fn data(&self, plan: &Plan) -> anyhow::Result<(usize, usize)> {
        let root = Root::at(&self.file.data);
        let settings = self.common.settings(&root, self.programs.clone());
        run::check_root(&self.file.data)?;
        prepared::noted(&root, &self.programs.slam, plan.locked(&self.file.pipeline), || {
            let (mut made, mut kept) = (0, 0);
            for stage in &plan.stages {
                let totals = run::stage(stage, &settings)?;
                made += totals.made;
                kept += totals.kept;
            }
            Ok((made, kept))
        })
    }

    /// Pulls the shards that steps read, where the data root mirrors an object store.
    fn pull<'a>(
        &self,
        data: &Prepared,
        steps: impl Iterator<Item = &'a RunStep>,
    ) -> anyhow::Result<()> {
        let root = Root::at(&self.file.data);
        if root.store.is_none() {
            return Ok(());
        }
        let named: BTreeSet<_> = steps.flat_map(|step| step.request.shards()).collect();
        let read = data
            .all()
            .map(|(_, _, shard)| shard.output.clone())
            .filter(|output| named.contains(root.folder.join(output).as_path()));
        root.pull(&self.programs.slam, read.collect())
    }

    /// Notes the run in its folder and carries it out. Where a run was there and nothing of it was replaced, a
    /// failure leaves it its file: a report of its models then still says how they were made.
    pub(crate) fn start(&self, data: &Prepared, steps: &[RunStep]) -> anyhow::Result<Worked> {
        let _guard = self.guard()?;
        self.runner().check(steps)?;
        let earlier = RunFile::read(self.run).ok();
        let before = trained(self.run);
        self.file.write(self.run)?;
        let worked = self.carry_out(data, steps);
        if let (Err(_), Some(earlier)) = (&worked, earlier)
            && trained(self.run) == before
        {
            earlier.write(self.run)?;
        }
        worked
    }

    /// Keeps other commands from writing the run at the same time, for as long as the file is open. File systems
    /// without locks do without.
    fn guard(&self) -> anyhow::Result<Option<File>> {
        let path = self.run.join(".guard");
        fs::create_dir_all(self.run).map_err(|e| PublishError::new(self.run, e))?;
        let file = File::create(&path).map_err(|e| PublishError::new(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::Error(_)) => Ok(None),
            Err(TryLockError::WouldBlock) => bail!(
                "another command is at work on the run in {}; wait for its end, or name another folder with --run",
                self.run.display()
            ),
        }
    }

    /// Carries out steps of a run, all of which are checked before the first one starts.
    pub(crate) fn run(&self, data: &Prepared, steps: &[RunStep]) -> anyhow::Result<Worked> {
        self.runner().check(steps)?;
        self.carry_out(data, steps)
    }

    /// Carries out steps that were checked.
    fn carry_out(&self, data: &Prepared, steps: &[RunStep]) -> anyhow::Result<Worked> {
        let runner = self.runner();
        self.pull(data, steps.iter())?;
        let mut worked = Worked::default();
        for step in steps {
            match (runner.run(step)?, &step.request) {
                (Outcome::Table(table), Request::Report(_)) => worked.table = table,
                (Outcome::UpToDate, _) => {}
                _ => worked.steps += 1,
            }
        }
        Ok(worked)
    }

    fn runner(&self) -> Runner {
        let runner = self.common.runner(self.programs.slam.clone(), self.run);
        runner.resumed_by(self.resume.clone())
    }
}

/// What training has left in a run's folder: its files and when each was written.
fn trained(run: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let stages = [TrainingStage::Pretrain, TrainingStage::Dpo].map(|s| run.join(s.name()));
    let entries =
        stages.iter().flat_map(|stage| fs::read_dir(stage).into_iter().flatten().flatten());
    entries.map(|e| (e.path(), e.metadata().and_then(|m| m.modified()).ok())).collect()
}
