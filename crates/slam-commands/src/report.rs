//! `report`: a run's report again, or several runs side by side.

use std::path::{Path, PathBuf};

use anyhow::bail;
use slam_pipeline::{RunStep, Steps};
use slam_recipe::Request;
use slam_recipe::RunFile;
use slam_recipe::event::Outcome;
use slam_recipe::lock::Prepared;
use slam_recipe::request::{CompareRequest, ReportRequest};

use crate::options::Common;
use crate::prepared::{self, PrepareCommand};
use crate::programs::Programs;
use crate::recipe::Recipe;
use crate::root::Root;
use crate::steps::Runner;

/// Write a run's report again and print its table; of several runs, a page that compares them.
#[derive(clap::Args)]
pub struct Arguments {
    /// The run's folder; of several, each is compared with the first
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Of several runs: where the page goes [default: compare.html in the first one's folder]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.runs[..] {
        [run] => one(run, arguments),
        runs => compare(runs, arguments),
    }
}

/// What was prepared for a run. A report draws what is there, so no dataset need be.
fn prepared_for(file: &RunFile, common: &Common, worker: &Path) -> anyhow::Result<Prepared> {
    let root = Root::at(&file.data);
    let (pipeline, overrides) = (&file.pipeline.name, &common.overrides);
    let command = PrepareCommand { pipeline, root: &root, overrides };
    prepared::read(&command, worker, &file.pipeline, |_| false)
}

fn one(run: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let file = RunFile::read(run)?;
    let programs = Programs::worker_alone(&common.device)?;
    let data = prepared_for(&file, common, &programs.slam)?;
    let recipe = Recipe { file: &file, common, programs, run, resume: "the same command".into() };
    println!("{}", recipe.run(&data, &[file.report_step(&data, run)])?.table);
    Ok(())
}

fn compare(runs: &[PathBuf], arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let worker = Programs::worker_alone(&common.device)?.slam;
    let report = |run: &PathBuf| report_of(run, common, &worker);
    let reports = runs.iter().map(report).collect::<anyhow::Result<Vec<_>>>()?;
    let first = &runs[0];
    let out = arguments.out.clone().unwrap_or_else(|| first.join("compare.html"));
    let request = CompareRequest { runs: reports, names: names(runs), out };
    let runner = Runner {
        worker,
        device: common.device.clone(),
        run: first.clone(),
        events: common.events(),
        resume: "the same command".into(),
    };
    let step = RunStep { name: "compare".into(), request: Request::Compare(request) };
    let Outcome::Table(table) = runner.run(&step)? else { bail!("the worker made no table") };
    println!("{table}");
    Ok(())
}

/// What the report of a run is asked for.
fn report_of(run: &Path, common: &Common, worker: &Path) -> anyhow::Result<ReportRequest> {
    let file = RunFile::read(run)?;
    let data = prepared_for(&file, common, worker)?;
    match file.report_step(&data, run).request {
        Request::Report(report) => Ok(*report),
        other => bail!("the report of {} is a request of the kind {}", run.display(), other.name()),
    }
}

/// Names of runs: their folders' where these differ, else their paths.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let short: Vec<String> =
        runs.iter().filter_map(|r| Some(r.file_name()?.to_string_lossy().into_owned())).collect();
    let mut unique = short.clone();
    unique.sort();
    unique.dedup();
    if unique.len() == runs.len() {
        return short;
    }
    runs.iter().map(|r| r.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_name_are_told_apart_by_their_paths() {
        assert_eq!(names(&["a/x".into(), "b/y".into()]), ["x", "y"]);
        assert_eq!(names(&["a/x".into(), "b/x".into()]), ["a/x", "b/x"]);
    }
}
