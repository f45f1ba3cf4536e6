//! `cargo xtask evaluate`: scores of a run's checkpoints, or of one checkpoint.

use std::path::{Path, PathBuf};

use serde_json::json;
use slam_pipeline::file::Role;
use slam_pipeline::run::RunStep;
use slam_pipeline::{Pipeline, Plan, RunFile};

use crate::exit::Failure;
use crate::prepare_data::{Common, pipeline_path};
use crate::recipe::Recipe;
use crate::root::{Data, Root};
use crate::steps::Runner;
use crate::worker::Programs;

/// Score a run's checkpoints, or one checkpoint.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A run's folder, or a checkpoint's
    target: PathBuf,
    /// Only these benchmark datasets, e.g. demo-lexical,demo-cloze
    #[arg(long, value_delimiter = ',')]
    suite: Vec<String>,
    /// How a pair is scored: slamkit or slm-scaling [default: the pipeline's]
    #[arg(long)]
    convention: Option<String>,
    /// For a checkpoint: the pipeline whose benchmarks are scored
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// For a checkpoint: the data root
    #[command(flatten)]
    data: Data,
    /// For a checkpoint: where the scores shard goes [default: scores.parquet beside the checkpoint's folder]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let target = &arguments.target;
    if target.join(RunFile::NAME).is_file() {
        let mut file = RunFile::read(target)?;
        choose(&mut file.pipeline, arguments)?;
        return score_run(&file, arguments);
    }
    if target.join("config.json").is_file() {
        return score_checkpoint(arguments);
    }
    Err(Failure::Usage(format!(
        "{} is neither a run (it has no {}) nor a checkpoint (it has no config.json)",
        target.display(),
        RunFile::NAME
    ))
    .into())
}

/// Applies `--suite` and `--convention`.
fn choose(pipeline: &mut Pipeline, arguments: &Arguments) -> anyhow::Result<()> {
    let benchmarks: Vec<String> = pipeline
        .datasets
        .iter()
        .filter(|d| d.role == Role::Benchmark)
        .map(|d| d.name.clone())
        .collect();
    let Some(evaluation) = &mut pipeline.evaluate else {
        return Err(Failure::Usage("the pipeline has no [evaluate] table".into()).into());
    };
    if !arguments.suite.is_empty() {
        if let Some(unknown) = arguments.suite.iter().find(|s| !benchmarks.contains(s)) {
            let known = benchmarks.join(", ");
            let message = format!("there is no benchmark dataset '{unknown}'; there are: {known}");
            return Err(Failure::Usage(message).into());
        }
        evaluation.datasets.clone_from(&arguments.suite);
    }
    if let Some(convention) = &arguments.convention {
        evaluation.params = json!({"convention": convention});
    }
    Ok(())
}

fn score_run(file: &RunFile, arguments: &Arguments) -> anyhow::Result<()> {
    let plan = Plan::of(&file.pipeline)?;
    let recipe = Recipe {
        file,
        common: &arguments.common,
        programs: Programs::worker_alone(&arguments.common.device)?,
        run: &arguments.target,
        resume: "the same command".into(),
    };
    let (table, _) = recipe.run(&plan, |step| matches!(step.command, "evaluate" | "report"))?;
    println!("{table}");
    Ok(())
}

fn score_checkpoint(arguments: &Arguments) -> anyhow::Result<()> {
    let checkpoint = &arguments.target;
    let path = pipeline_path(&arguments.pipeline)?;
    let mut pipeline = Pipeline::read(&path, false, &arguments.common.overrides)?;
    choose(&mut pipeline, arguments)?;
    let plan = Plan::of(&pipeline)?;
    let parent = checkpoint.parent().unwrap_or(Path::new("."));
    let out = arguments.out.clone().unwrap_or_else(|| parent.join("scores.parquet"));
    let root = Root::of(&arguments.data)?;
    let worker = Programs::worker_alone(&arguments.common.device)?.slam;
    let outputs: Vec<PathBuf> = pipeline
        .evaluate
        .iter()
        .flat_map(|e| &e.datasets)
        .flat_map(|d| plan.units(d, "benchmark"))
        .map(|u| u.output.clone())
        .collect();
    if root.store.is_some() {
        root.pull(&worker, outputs.clone())?;
    }
    let shards: Vec<PathBuf> = outputs.iter().map(|o| root.folder.join(o)).collect();
    let mut request = json!({"checkpoint": checkpoint, "shards": shards, "out": out});
    if let (Some(request), Some(params)) =
        (request.as_object_mut(), pipeline.evaluate.as_ref().and_then(|e| e.params.as_object()))
    {
        request.extend(params.clone());
    }
    let runner = Runner {
        worker,
        device: arguments.common.device.clone(),
        run: parent.to_owned(),
        json: arguments.common.json,
        resume: "the same command".into(),
    };
    let step = RunStep { name: "evaluate".into(), command: "evaluate", request };
    let done = runner.run(&step)?;
    println!("{}\nscores in {}", done.text, out.display());
    Ok(())
}
