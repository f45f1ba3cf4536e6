//! `cargo xtask report`: a run's report again, or several runs side by side.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slam_pipeline::run::RunStep;
use slam_pipeline::{Plan, RunFile};

use crate::prepare_data::Common;
use crate::recipe::Recipe;
use crate::steps::Runner;
use crate::worker::Programs;

/// Write a run's report again and print its table; of several runs, a page that compares them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
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

fn one(run: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let file = RunFile::read(run)?;
    let plan = Plan::of(&file.pipeline)?;
    let programs = Programs::worker_alone(&arguments.common.device)?;
    let recipe = Recipe {
        file: &file,
        common: &arguments.common,
        programs,
        run,
        resume: "the same command".into(),
    };
    let (table, _) = recipe.run(&plan, |step| step.command == "report")?;
    println!("{table}");
    Ok(())
}

fn compare(runs: &[PathBuf], arguments: &Arguments) -> anyhow::Result<()> {
    let reports = runs.iter().map(|run| report_of(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = &runs[0];
    let out = arguments.out.clone().unwrap_or_else(|| first.join("compare.html"));
    let request = json!({"runs": reports, "names": names(runs), "out": out});
    let runner = Runner {
        worker: Programs::worker_alone(&arguments.common.device)?.slam,
        device: arguments.common.device.clone(),
        run: first.clone(),
        json: arguments.common.json,
        resume: "the same command".into(),
    };
    let done = runner.run(&RunStep { name: "compare".into(), command: "compare", request })?;
    println!("{}", done.text);
    Ok(())
}

/// What the report of a run is asked for.
fn report_of(run: &Path) -> anyhow::Result<Value> {
    let file = RunFile::read(run)?;
    let plan = Plan::of(&file.pipeline)?;
    let steps = file.steps(&plan, run);
    let report = steps.into_iter().find(|step| step.command == "report");
    Ok(report.map(|step| step.request).unwrap_or_default())
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
