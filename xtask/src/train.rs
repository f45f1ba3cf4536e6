//! `cargo xtask train`: pre-training, preference optimisation, scores and the report, within a budget.

use std::path::PathBuf;

use anyhow::bail;
use serde_json::{Value, json};
use slam_pipeline::{Pipeline, Plan, RunFile};

use crate::exit::Failure;
use crate::predict;
use crate::prepare_data::{Common, pipeline_path};
use crate::recipe::Recipe;
use crate::worker::Programs;

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
    /// The data root
    #[arg(long, default_value = "data", conflicts_with = "resume")]
    data: PathBuf,
    /// The run's folder [default: runs/ and the pipeline's name]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    run: Option<PathBuf>,
    /// Go on with this run, with the settings it was started with
    #[arg(long, value_name = "RUN", conflicts_with = "end")]
    resume: Option<PathBuf>,
    /// Say what the run would come to, and stop
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
    if arguments.dry_run {
        println!("{}", arguments.prediction.predict(&file.pipeline, &file.data)?);
        return Ok(());
    }
    let plan = Plan::of(&file.pipeline)?;
    let missing: Vec<_> = plan
        .stages
        .iter()
        .flat_map(|s| s.pending(&file.data).into_iter().map(|i| &s.units[i].output))
        .collect();
    if let Some(first) = missing.first() {
        bail!(
            "{} shards are missing or stale, the first {}; make them with `cargo xtask prepare-data --pipeline {} --data {}`",
            missing.len(),
            file.data.join(first).display(),
            arguments.pipeline,
            file.data.display()
        );
    }
    let recipe = Recipe {
        file: &file,
        common: &arguments.common,
        programs: Programs::worker_alone(&arguments.common.device)?,
        run: &run,
        resume: format!("cargo xtask train --resume {}", run.display()),
    };
    let (table, worked) = recipe.run(&plan, |_| true)?;
    println!("{table}");
    if worked == 0 {
        println!("nothing to do: the models and their scores are up to date");
    }
    Ok(())
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
    let run = arguments.run.clone().unwrap_or_else(|| PathBuf::from("runs").join(&pipeline.name));
    Ok((RunFile { pipeline, data: arguments.data.clone(), notice: None }, run))
}
