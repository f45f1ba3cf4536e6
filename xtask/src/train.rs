//! `cargo xtask train`: pre-training, preference optimisation, scores and the report, within a budget.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use slam_pipeline::run::RunStep;
use slam_pipeline::{Pipeline, Plan, RunFile, StagePlan};

use crate::exit::Failure;
use crate::predict;
use crate::prepare_data::{Common, pipeline_path};
use crate::recipe::Recipe;
use crate::root::{Data, Root};
use crate::steps::Runner;
use crate::worker::Programs;

/// What `--init` calls a model without a checkpoint.
const RANDOM: &str = "random";

/// Pre-train, optimise preferences, score and report within a budget.
#[derive(clap::Args)]
pub(crate) struct Arguments {
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
    /// The pipeline: a name in pipelines/ or a file
    #[arg(long, default_value = "demo", conflicts_with = "resume")]
    pipeline: String,
    /// Where the model starts: `random` for random weights of the pipeline's [model] (the ablation of TWIST), or
    /// a checkpoint's folder [default: the pipeline's]
    #[arg(long, value_name = "random|DIR", conflicts_with = "resume")]
    init: Option<String>,
    /// The data root: a folder, or s3://BUCKET/FOLDER, gs://, az://, http(s)://
    #[arg(long, default_value = "data", conflicts_with = "resume")]
    data: PathBuf,
    /// With an object store: the local folder that mirrors what is needed of it
    #[arg(long, value_name = "DIR", default_value = "data-mirror", conflicts_with = "resume")]
    cache: PathBuf,
    /// The run's folder [default: runs/ and the pipeline's name]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    run: Option<PathBuf>,
    /// Go on with this run, with the settings it was started with
    #[arg(long, value_name = "RUN", conflicts_with = "end")]
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
        Some(run) => (RunFile::read(run)?, run.clone()),
        None => start(arguments)?,
    };
    if arguments.dry_run && arguments.prediction.is_given() {
        println!("{}", arguments.prediction.predict(&file.pipeline, &file.data)?);
        return Ok(());
    }
    let plan = Plan::of(&file.pipeline)?;
    let programs = Programs::worker_alone(&arguments.common.device)?;
    Root::at(&file.data).sync(&programs.slam, &plan)?;
    let missing: Vec<_> = plan
        .stages
        .iter()
        .filter(|s| reads(&file.pipeline, s))
        .flat_map(|s| s.pending(&file.data).into_iter().map(|i| &s.units[i].output))
        .collect();
    if let Some(first) = missing.first() {
        bail!(
            "{} shards are missing or stale, the first {}; make them with `cargo xtask prepare-data --pipeline {} --data {}`",
            missing.len(),
            file.data.join(first).display(),
            arguments.pipeline,
            Root::at(&file.data).name()
        );
    }
    let resume = format!("cargo xtask train --resume {}", run.display());
    if arguments.dry_run {
        println!("{}", measure(&file, &plan, &run, &arguments.common)?);
        return Ok(());
    }
    let recipe = Recipe { file: &file, common: &arguments.common, programs, run: &run, resume };
    let (table, worked) = recipe.run(&plan, |_| true)?;
    println!("{table}");
    if worked == 0 {
        println!("nothing to do: the models and their scores are up to date");
    }
    Ok(())
}

/// Whether a run needs a stage's shards: pairs only for preference optimisation over them, suites only where
/// it is scored on them.
fn reads(pipeline: &Pipeline, stage: &StagePlan) -> bool {
    let named =
        |datasets: Option<&Vec<String>>| datasets.is_some_and(|d| d.contains(&stage.dataset));
    match stage.stage {
        "pair" => named(pipeline.dpo.as_ref().map(|t| &t.datasets)),
        "benchmark" => named(pipeline.evaluate.as_ref().map(|e| &e.datasets)),
        _ => true,
    }
}

/// Puts another start in place of the pipeline's.
fn set_start(model: &mut Value, init: &str) -> anyhow::Result<()> {
    let Some(model) = model.as_object_mut() else {
        return Err(Failure::Usage("[model] of the pipeline is no table".into()).into());
    };
    model.remove("checkpoint");
    if init != RANDOM {
        model.insert("checkpoint".into(), init.into());
    } else if !model.contains_key("model_type") {
        let message = "--init random needs the model's sizes, and the pipeline's [model] names a checkpoint alone";
        return Err(Failure::Usage(message.into()).into());
    }
    Ok(())
}

/// What a run would come to, from its first steps; the run's folder is not touched.
fn measure(file: &RunFile, plan: &Plan, run: &Path, common: &Common) -> anyhow::Result<String> {
    let steps = file.steps(plan, run);
    let step =
        steps.iter().find(|s| s.command == "pretrain").context("there is no pre-training")?;
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let runner = Runner {
        worker: Programs::worker_alone(&common.device)?.slam,
        device: common.device.clone(),
        run: folder.path().to_owned(),
        json: common.json,
        resume: "the same command".into(),
    };
    let step = RunStep { name: "plan".into(), command: "plan-pretrain", ..step.clone() };
    let mut text = format!("pre-training: {}", runner.run(&step)?.text);
    let dpo = file.pipeline.dpo.as_ref().map(|t| &t.params["budget"]);
    if let Some(seconds) = dpo.and_then(|budget| budget["seconds"].as_f64()) {
        let _ = write!(text, "\npreference optimisation: {seconds:.0} s of the budget");
    }
    Ok(text)
}

fn start(arguments: &Arguments) -> anyhow::Result<(RunFile, PathBuf)> {
    let path = pipeline_path(&arguments.pipeline)?;
    let mut pipeline = Pipeline::read(&path, false, &arguments.common.overrides)?;
    if pipeline.train.is_none() && pipeline.dpo.as_ref().is_none_or(|d| d.policy.is_none()) {
        let message = format!(
            "pipeline '{}' has neither a [train] table nor a policy in its [dpo] table",
            pipeline.name
        );
        return Err(Failure::Usage(message).into());
    }
    if !(0.0..1.0).contains(&arguments.dpo_share) {
        return Err(Failure::Usage("--dpo-share must be at least 0 and below 1".into()).into());
    }
    if let Some(budget) = arguments.budget {
        pipeline.set_time_budget(budget, arguments.dpo_share);
    }
    let others: [Option<Value>; 3] = [
        arguments.steps.map(|n| json!({"steps": n})),
        arguments.tokens.map(|n| json!({"tokens": n})),
        arguments.epochs.map(|n| json!({"epochs": n})),
    ];
    if let Some(budget) = others.into_iter().flatten().next() {
        pipeline.set_training_budget(&budget);
    }
    let mut name = pipeline.name.clone();
    if let Some(init) = &arguments.init {
        set_start(&mut pipeline.model, init)?;
        if init == RANDOM {
            name.push_str("-random");
        }
    }
    let run = arguments.run.clone().unwrap_or_else(|| PathBuf::from("runs").join(name));
    let data = Data { data: arguments.data.clone(), cache: arguments.cache.clone() };
    Ok((RunFile { pipeline, data: Root::of(&data)?.folder, notice: None }, run))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn init_takes_the_place_of_the_pipelines_checkpoint() {
        let given = json!({"checkpoint": "models/twist", "model_type": "qwen2", "hidden_size": 64});
        let of = |init: &str, mut model: Value| set_start(&mut model, init).map(|()| model);
        let random = of("random", given.clone()).unwrap();
        assert_eq!(random, json!({"model_type": "qwen2", "hidden_size": 64}));
        assert_eq!(of("models/other", random).unwrap()["checkpoint"], "models/other");
        let error = of("random", json!({"checkpoint": "models/twist"})).unwrap_err();
        assert!(error.to_string().contains("sizes"), "{error}");
    }
}
