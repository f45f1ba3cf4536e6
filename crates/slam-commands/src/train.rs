//! `train`: pre-training, preference optimisation, scores and the report, within a budget.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use slam_pipeline::{RunStep, Steps};
use slam_recipe::RunFile;
use slam_recipe::event::Outcome;
use slam_recipe::lock::{LockedDataset, Prepared};
use slam_recipe::pipeline::{Dataset, Model, Role};
use slam_recipe::training::Budget;
use slam_recipe::{Pipeline, Request, Stage};

use crate::door::hint;
use crate::exit::Failure;
use crate::options::{Common, PipelineName};
use crate::predict;
use crate::prepared::{self, PrepareCommand, quoted};
use crate::programs::Programs;
use crate::recipe::Recipe;
use crate::root::{Root, RunData};

/// What `--init` calls a model without a checkpoint.
const RANDOM: &str = "random";

/// Pre-train, optimise preferences, score and report within a budget.
#[derive(clap::Args)]
pub struct Arguments {
    /// Wall-clock time of pre-training and preference optimisation together, e.g. 24h
    #[arg(long, value_parser = humantime::parse_duration, group = "end")]
    budget: Option<std::time::Duration>,
    /// Optimiser steps of pre-training in place of a budget
    #[arg(long, group = "end")]
    steps: Option<u64>,
    /// Tokens of pre-training in place of a budget
    #[arg(long, group = "end")]
    tokens: Option<u64>,
    /// Passes over the training data in place of a budget
    #[arg(long, group = "end")]
    epochs: Option<f64>,
    /// The share of the budget that goes to preference optimisation
    #[arg(long, default_value_t = 0.5 / 24.0)]
    dpo_share: f64,
    #[command(flatten)]
    pipeline: PipelineName,
    /// Where the model starts: `random` for random weights of the pipeline's [model] (the ablation of TWIST), or
    /// a checkpoint's folder [default: the pipeline's]
    #[arg(long, value_name = "random|DIR", conflicts_with = "resume")]
    init: Option<String>,
    #[command(flatten)]
    data: RunData,
    /// The run's folder [default: runs/ and the pipeline's name, with -random after --init random]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    run: Option<PathBuf>,
    /// Go on with this run, with the settings it was started with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["end", "pipeline", "quick", "overrides"])]
    resume: Option<PathBuf>,
    /// Say what the run would come to, and stop: from its first steps on this machine or, with --gpu,
    /// --tokens-per-second or --measured, without data and device
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    #[command(flatten)]
    prediction: predict::Options,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (file, run) = match &arguments.resume {
        Some(run) => {
            let mut file = RunFile::read(run)?;
            arguments.data.lay_over(&mut file)?;
            (file, run.clone())
        }
        None => start(arguments)?,
    };
    if arguments.dry_run && arguments.prediction.is_given() {
        crate::out::say!("{}", arguments.prediction.predict(&file.pipeline, &file.data)?);
        return Ok(());
    }
    let programs = Programs::worker_alone(&arguments.common.device)?;
    let data = prepared_for(&file, &programs.slam)?;
    let resume = format!("{} --resume {}", hint("train"), quoted(&run.display().to_string()));
    let steps = file.steps(&data, &run)?;
    if arguments.dry_run {
        crate::out::say!("{}", measure(&file, &steps, &arguments.common)?);
        return Ok(());
    }
    let recipe = Recipe { file: &file, common: &arguments.common, programs, run: &run, resume };
    let worked = recipe.start(&data, &steps)?;
    crate::out::say!("{}", worked.table);
    if worked.steps == 0 {
        crate::out::say!("nothing to do: the models and their scores are up to date");
    }
    Ok(())
}

/// The data of a run, all of whose shards that it reads are there. A run needs units to train on, pairs for
/// preference optimisation over them, and suites where it is scored on them; recordings it needs none.
fn prepared_for(file: &RunFile, worker: &Path) -> anyhow::Result<Prepared> {
    let RunFile { pipeline, data, named, .. } = file;
    let root = Root::at(data);
    let command = PrepareCommand { named, root: &root };
    let has = |datasets: Option<&Vec<String>>, d: &Dataset| {
        datasets.is_some_and(|names| names.contains(&d.name))
    };
    let trains = |d: &Dataset| has(pipeline.train.as_ref().map(|t| &t.datasets), d);
    let prefers = |d: &Dataset| has(pipeline.dpo.as_ref().map(|t| &t.datasets), d);
    let scores = |d: &Dataset| {
        let evaluation = pipeline.evaluate.as_ref();
        has(evaluation.map(|e| &e.datasets), d) || has(evaluation.map(|e| &e.during_training), d)
    };
    let needed = |d: &Dataset| trains(d) || prefers(d) || scores(d);
    let prepared = prepared::read(&command, worker, pipeline, |_, d| needed(d))?;
    let reads = |locked: &LockedDataset, stage: Stage| {
        let d = &locked.dataset;
        match stage {
            Stage::Unitise => trains(d),
            Stage::Pair => prefers(d) && d.role == Role::Preference,
            Stage::Benchmark => scores(d),
            Stage::Ingest | Stage::FitKmeans => false,
        }
    };
    prepared::check_made(&command, worker, &prepared, reads)?;
    Ok(prepared)
}

/// Puts another start in place of the pipeline's.
fn set_start(model: &mut Model, init: &str) -> Result<(), Failure> {
    model.checkpoint = None;
    if init != RANDOM {
        model.checkpoint = Some(init.into());
    } else if !model.config.contains_key("model_type") {
        let message = "--init random needs the model's sizes, and the pipeline's [model] names a checkpoint alone";
        return Err(Failure::Usage(message.into()));
    }
    Ok(())
}

/// What a run would come to, from its first steps; the run's folder is not touched.
fn measure(file: &RunFile, steps: &[RunStep], common: &Common) -> anyhow::Result<String> {
    let pretrain = |step: &RunStep| match &step.request {
        Request::Pretrain(request) => Some(request.clone()),
        _ => None,
    };
    let request = steps.iter().find_map(pretrain).context("there is no pre-training")?;
    let Outcome::Table(plan) = common.once("plan", Request::PlanPretrain(request))? else {
        bail!("the worker measured no plan");
    };
    let mut text = format!("pre-training: {plan}");
    if let Some(Budget::Seconds(seconds)) = file.pipeline.dpo.as_ref().map(|t| t.params.budget) {
        let _ = write!(text, "\npreference optimisation: {seconds:.0} s of the budget");
    }
    Ok(text)
}

fn start(arguments: &Arguments) -> anyhow::Result<(RunFile, PathBuf)> {
    let mut pipeline = arguments.pipeline.read(&arguments.common)?;
    check_trains(&pipeline)?;
    if !(0.0..1.0).contains(&arguments.dpo_share) {
        return Err(Failure::Usage("--dpo-share must be at least 0 and below 1".into()).into());
    }
    if let Some(budget) = arguments.budget {
        pipeline.set_time_budget(budget, arguments.dpo_share);
    }
    let others = [
        arguments.steps.map(Budget::Steps),
        arguments.tokens.map(Budget::Tokens),
        arguments.epochs.map(Budget::Epochs),
    ];
    if let Some(budget) = others.into_iter().flatten().next() {
        pipeline.set_training_budget(budget);
    }
    let mut name = pipeline.name.clone();
    if let Some(init) = &arguments.init {
        set_start(&mut pipeline.model, init)?;
        if init == RANDOM {
            name.push_str("-random");
        }
    }
    let run = arguments.run.clone().unwrap_or_else(|| PathBuf::from("runs").join(name));
    let data = arguments.data.root()?.folder;
    let named = arguments.pipeline.choice(&arguments.common);
    Ok((RunFile { pipeline, data, notice: None, named }, run))
}

fn check_trains(pipeline: &Pipeline) -> Result<(), Failure> {
    let policy = pipeline.dpo.as_ref().and_then(|dpo| dpo.policy.as_ref());
    if pipeline.train.is_some() || policy.is_some() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "pipeline '{}' has neither a [train] table nor a policy in its [dpo] table",
        pipeline.name
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn init_takes_the_place_of_the_pipelines_checkpoint() {
        let given: Model =
            serde_json::from_value(json!({"checkpoint": "models/twist", "model_type": "qwen2"}))
                .unwrap();
        let of = |init: &str, mut model: Model| set_start(&mut model, init).map(|()| model);
        let random = of("random", given).unwrap();
        assert_eq!(
            (random.checkpoint.clone(), &random.config["model_type"]),
            (None, &json!("qwen2"))
        );
        assert_eq!(
            of("models/other", random).unwrap().checkpoint.unwrap(),
            Path::new("models/other")
        );
        let bare = Model { checkpoint: Some("models/twist".into()), ..Model::default() };
        let error = of("random", bare).unwrap_err();
        assert!(error.to_string().contains("sizes"), "{error}");
    }
}
