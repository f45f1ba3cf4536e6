//! `evaluate`: scores of a run's checkpoints, of one checkpoint, or that are there already.

mod scores;

use std::path::{Path, PathBuf};

use slam_pipeline::{RunStep, Steps};
use slam_recipe::RunFile;
use slam_recipe::evaluation::Convention;
use slam_recipe::lock::{LockedDataset, Prepared};
use slam_recipe::pipeline::{Dataset, Evaluation, Role};
use slam_recipe::request::EvaluateRequest;
use slam_recipe::{Pipeline, Request, Stage};

use crate::exit::Failure;
use crate::options::{Common, PipelineName};
use crate::prepared::{self, PrepareCommand};
use crate::programs::Programs;
use crate::recipe::Recipe;
use crate::report::unfinished;
use crate::root::{Root, RunData};

/// Score a run's checkpoints, or one checkpoint.
#[derive(clap::Args)]
pub struct Arguments {
    /// A run's folder, or a checkpoint's
    #[arg(required_unless_present_any = ["from", "score", "generations"])]
    target: Option<PathBuf>,
    /// Only these benchmark datasets, e.g. demo-lexical,demo-cloze
    #[arg(long, value_delimiter = ',')]
    suite: Vec<String>,
    /// How pairs are scored [default: the pipeline's, else that of each suite's published scores]
    #[arg(long)]
    convention: Option<Convention>,
    /// For a run: score the checkpoints on its way too, for curves over tokens in the report
    #[arg(long)]
    every_checkpoint: bool,
    #[command(flatten)]
    scores: scores::Options,
    /// For a checkpoint: the pipeline whose benchmarks are scored
    #[command(flatten)]
    pipeline: PipelineName,
    #[command(flatten)]
    data: RunData,
    /// For a checkpoint or --score: where the scores shard goes [default: of a checkpoint, scores.parquet
    /// in its folder]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.scores.needs_no_model() {
        let out = arguments.out.as_deref();
        return scores::print(&arguments.scores, arguments.convention, out, &arguments.common);
    }
    let target = arguments.target.as_deref().unwrap_or(Path::new("."));
    if target.join(RunFile::NAME).is_file() {
        let own = !arguments.common.overrides.is_empty() || arguments.pipeline.is_given();
        if own || arguments.out.is_some() {
            let message = "a run keeps its pipeline and the place of its scores; --pipeline, --quick, --set and \
                           --out are for a checkpoint's folder";
            return Err(Failure::Usage(message.into()).into());
        }
        let mut file = RunFile::read(target)?;
        arguments.data.lay_over(&mut file)?;
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
    if arguments.convention.is_some() {
        evaluation.params.convention = arguments.convention;
    }
    Ok(())
}

/// The prepared suites of a pipeline, all of which are there.
fn suites(
    command: &PrepareCommand<'_>,
    pipeline: &Pipeline,
    worker: &Path,
) -> anyhow::Result<Prepared> {
    let named = |d: &Dataset| pipeline.evaluate.iter().any(|e| e.datasets.contains(&d.name));
    let prepared = prepared::read(command, worker, pipeline, |_, d| named(d))?;
    let reads = |locked: &LockedDataset, stage| stage == Stage::Benchmark && named(&locked.dataset);
    prepared::check_made(command, worker, &prepared, reads)?;
    Ok(prepared)
}

fn score_run(file: &RunFile, run: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let programs = Programs::worker_alone(&common.device)?;
    let root = Root::at(&file.data);
    let command = PrepareCommand { named: &file.named, root: &root };
    let data = suites(&command, &file.pipeline, &programs.slam)?;
    let recipe = Recipe { file, common, programs, run, resume: "the same command".into() };
    if arguments.every_checkpoint {
        recipe.run(&data, &file.checkpoint_steps(&data, run))?;
    }
    let steps = file.score_steps(&data, run);
    for step in &steps {
        if let Request::Evaluate(EvaluateRequest { checkpoint, .. }) = &step.request
            && !checkpoint.is_dir()
        {
            return Err(unfinished(run, checkpoint));
        }
    }
    crate::out::say!("{}", recipe.run(&data, &steps)?.table);
    // Of the run's checkpoints, the last one is what was trained.
    let scores = |step: &RunStep| match &step.request {
        Request::Evaluate(request) => Some(request.out.clone()),
        _ => None,
    };
    let Some(scores) = steps.iter().rev().find_map(scores) else { return Ok(()) };
    crate::out::say!();
    scores::print_made(&[scores], &file.pipeline, &arguments.scores, common)
}

fn score_checkpoint(checkpoint: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let mut pipeline = arguments.pipeline.read(common)?;
    choose(&mut pipeline, arguments)?;
    let out = arguments.out.clone().unwrap_or_else(|| checkpoint.join("scores.parquet"));
    let root = arguments.data.root()?;
    let worker = Programs::worker_alone(&common.device)?.slam;
    let named = arguments.pipeline.choice(common);
    let command = PrepareCommand { named: &named, root: &root };
    let data = suites(&command, &pipeline, &worker)?;
    let outputs: Vec<PathBuf> = pipeline
        .evaluate
        .iter()
        .flat_map(|e: &Evaluation| &e.datasets)
        .flat_map(|d| data.shards(d, Stage::Benchmark))
        .map(|shard| shard.output.clone())
        .collect();
    if root.store.is_some() {
        root.pull(&worker, outputs.clone())?;
    }
    let request = EvaluateRequest {
        checkpoint: checkpoint.to_owned(),
        shards: outputs.iter().map(|o| root.folder.join(o)).collect(),
        convention: scores::convention_of(&pipeline),
        out: out.clone(),
    };
    common.once("evaluate", Request::Evaluate(request))?;
    scores::print_made(&[out], &pipeline, &arguments.scores, common)
}
