//! `report`: a run's report again, or several runs side by side.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use slam_pipeline::{RunStep, Steps};
use slam_recipe::Request;
use slam_recipe::RunFile;
use slam_recipe::event::Outcome;
use slam_recipe::lock::{Lock, Prepared};
use slam_recipe::pipeline::Dataset;
use slam_recipe::request::{CompareRequest, ReportRequest};

use crate::door::hint;
use crate::exit::Failure;
use crate::options::Common;
use crate::prepared::{self, PrepareCommand, quoted};
use crate::programs::Programs;
use crate::recipe::Recipe;
use crate::root::{Root, RunData};

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
    data: RunData,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.common.overrides.is_empty() {
        return Err(Failure::Usage(KEEPS.into()).into());
    }
    match &arguments.runs[..] {
        [run] => one(run, arguments),
        runs => compare(runs, arguments),
    }
}

/// Why a run's commands take no `--set`.
const KEEPS: &str = "a run keeps the pipeline that it was started with; --set is for `train`, which makes another run";

/// A run's file, with the data root that the user said.
fn run_file(run: &Path, arguments: &Arguments) -> anyhow::Result<RunFile> {
    let mut file = RunFile::read(run)?;
    arguments.data.lay_over(&mut file)?;
    Ok(file)
}

/// What was prepared for a run. A report draws what is there, so no dataset need be; one that was prepared
/// otherwise since is another's.
fn prepared_for(file: &RunFile, worker: &Path) -> anyhow::Result<Prepared> {
    let root = Root::at(&file.data);
    let tokeniser = &file.pipeline.tokeniser.name;
    let is_there = |lock: &Lock, d: &Dataset| lock.dataset(&d.name, tokeniser).is_some();
    let command = PrepareCommand { named: &file.named, root: &root };
    prepared::read(&command, worker, &file.pipeline, is_there)
}

/// Fails where a run did not come to the scores that its report shows.
fn check_scored(step: &RunStep, run: &Path) -> anyhow::Result<()> {
    let Request::Report(report) = &step.request else { return Ok(()) };
    let missing = report.scores.iter().find(|scored| !scored.scores.is_file());
    missing.map_or(Ok(()), |scored| Err(unfinished(run, &scored.scores)))
}

/// A run that something of is missing.
pub(crate) fn unfinished(run: &Path, missing: &Path) -> anyhow::Error {
    let (resume, run) = (hint("train"), run.display().to_string());
    anyhow!(
        "the run in {run} is not finished, it has no {}; go on with `{resume} --resume {}`",
        missing.display(),
        quoted(&run)
    )
}

fn one(run: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let file = run_file(run, arguments)?;
    let programs = Programs::worker_alone(&common.device)?;
    let data = prepared_for(&file, &programs.slam)?;
    let step = file.report_step(&data, run);
    check_scored(&step, run)?;
    let recipe = Recipe { file: &file, common, programs, run, resume: "the same command".into() };
    crate::out::say!("{}", recipe.run(&data, &[step])?.table);
    Ok(())
}

fn compare(runs: &[PathBuf], arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let worker = Programs::worker_alone(&common.device)?.slam;
    let report = |run: &PathBuf| report_of(run, arguments, &worker);
    let reports = runs.iter().map(report).collect::<anyhow::Result<Vec<_>>>()?;
    let first = &runs[0];
    let out = arguments.out.clone().unwrap_or_else(|| first.join("compare.html"));
    let request = CompareRequest { runs: reports, names: names(runs), out };
    let runner = common.runner(worker, first);
    let step = RunStep { name: "compare".into(), request: Request::Compare(request) };
    let Outcome::Table(table) = runner.run(&step)? else { bail!("the worker made no table") };
    crate::out::say!("{table}");
    Ok(())
}

/// What the report of a run is asked for.
fn report_of(run: &Path, arguments: &Arguments, worker: &Path) -> anyhow::Result<ReportRequest> {
    let file = run_file(run, arguments)?;
    let data = prepared_for(&file, worker)?;
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
