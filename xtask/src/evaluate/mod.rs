//! `cargo xtask evaluate`: scores of a run's checkpoints, of one checkpoint, or that are there already.

mod scores;

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
    #[arg(required_unless_present_any = ["from", "score", "generations"])]
    target: Option<PathBuf>,
    /// Only these benchmark datasets, e.g. demo-lexical,demo-cloze
    #[arg(long, value_delimiter = ',')]
    suite: Vec<String>,
    /// How pairs are scored [default: the pipeline's, else that of each suite's published scores]
    #[arg(long, value_parser = ["slamkit", "zerospeech", "slm-scaling"])]
    convention: Option<String>,
    /// For a run: score the checkpoints on its way too, for curves over tokens in the report
    #[arg(long)]
    every_checkpoint: bool,
    #[command(flatten)]
    scores: scores::Options,
    /// For a checkpoint: the pipeline whose benchmarks are scored
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// For a checkpoint: the data root
    #[command(flatten)]
    data: Data,
    /// For a checkpoint or --score: where the scores shard goes [default: of a checkpoint, scores.parquet
    /// beside its folder]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let convention = arguments.convention.as_deref();
    if arguments.scores.needs_no_model() {
        let out = arguments.out.as_deref();
        return scores::print(&arguments.scores, convention, out, &arguments.common);
    }
    let target = arguments.target.as_deref().unwrap_or(Path::new("."));
    if target.join(RunFile::NAME).is_file() {
        let mut file = RunFile::read(target)?;
        choose(&mut file.pipeline, arguments)?;
        return score_run(&file, target, arguments);
    }
    if target.join("config.json").is_file() {
        return score_checkpoint(target, arguments);
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

fn score_run(file: &RunFile, run: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let plan = Plan::of(&file.pipeline)?;
    let recipe = Recipe {
        file,
        common: &arguments.common,
        programs: Programs::worker_alone(&arguments.common.device)?,
        run,
        resume: "the same command".into(),
    };
    if arguments.every_checkpoint {
        recipe.steps(&file.checkpoint_steps(&plan, run))?;
    }
    let (table, _) = recipe.run(&plan, |step| matches!(step.command, "evaluate" | "report"))?;
    println!("{table}");
    // Of the run's checkpoints, the last one is what was trained.
    let steps = file.steps(&plan, run);
    let last = steps.iter().rfind(|s| s.command == "evaluate");
    let Some(scores) = last.and_then(|s| s.request["out"].as_str()) else { return Ok(()) };
    println!();
    let convention = convention_of(&file.pipeline);
    let made = [PathBuf::from(scores)];
    scores::print_made(&made, &file.pipeline, convention, &arguments.scores, &arguments.common)
}

/// The convention of a pipeline; none where each suite has its own.
fn convention_of(pipeline: &Pipeline) -> Option<&str> {
    pipeline.evaluate.as_ref()?.params["convention"].as_str()
}

fn score_checkpoint(checkpoint: &Path, arguments: &Arguments) -> anyhow::Result<()> {
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
    runner.run(&step)?;
    let convention = convention_of(&pipeline);
    scores::print_made(&[out], &pipeline, convention, &arguments.scores, &arguments.common)
}
