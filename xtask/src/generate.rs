//! `cargo xtask generate`: continuations of spoken prompts.

use std::path::{Path, PathBuf};

use serde_json::json;
use slam_pipeline::run::RunStep;
use slam_pipeline::{Pipeline, Plan};

use crate::exit::Failure;
use crate::prepare_data::{Common, pipeline_path};
use crate::steps::Runner;
use crate::worker::Programs;

/// Continue spoken prompts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint's folder
    checkpoint: PathBuf,
    /// A recording, or a JSON file with a list of units; several may be given
    #[arg(long, required = true)]
    prompt: Vec<PathBuf>,
    /// Seconds of each recording that are the prompt [default: all]
    #[arg(long)]
    prompt_seconds: Option<f64>,
    /// Where the continuations go, as JSON; they are printed too
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print each unit as it is drawn, one JSON line each, in place of the whole at the end; a null is the end
    /// of a sequence
    #[arg(long)]
    stream: bool,
    /// Units to add at most
    #[arg(long, default_value_t = 150)]
    max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest unit each time
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Only so many of the likeliest units are drawn from; 0 for all
    #[arg(long, default_value_t = 25)]
    top_k: usize,
    /// Only the likeliest units whose probabilities reach this are drawn from
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Makes units that were there before less likely; 1 for no effect
    #[arg(long, default_value_t = 1.1)]
    repetition_penalty: f64,
    /// The seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The pipeline whose tokeniser the model was trained with
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// The pipeline's small variant
    #[arg(long)]
    quick: bool,
    /// The data root
    #[arg(long, default_value = "data")]
    data: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let a = arguments;
    for (flag, value) in
        [("--temperature", a.temperature), ("--repetition-penalty", a.repetition_penalty)]
    {
        if !(value.is_finite() && value >= 0.0) {
            return Err(Failure::Usage(format!("{flag} must be at least 0")).into());
        }
    }
    let path = pipeline_path(&a.pipeline)?;
    let pipeline = Pipeline::read(&path, a.quick, &a.common.overrides)?;
    let plan = Plan::of(&pipeline)?;
    let request = json!({
        "checkpoint": a.checkpoint,
        "prompts": a.prompt,
        "prompt_seconds": a.prompt_seconds,
        "tokeniser": pipeline.tokeniser.name,
        "features": pipeline.tokeniser.features,
        "tokeniser_files": plan.tokeniser,
        "root": std::path::absolute(&a.data)?,
        "max_new_tokens": a.max_new_tokens,
        "temperature": a.temperature,
        "top_k": a.top_k,
        "top_p": a.top_p,
        "repetition_penalty": a.repetition_penalty,
        "seed": a.seed,
        "out": a.out,
        "stream": a.stream,
    });
    let runner = Runner {
        worker: Programs::worker_alone(&a.common.device)?.slam,
        device: a.common.device.clone(),
        run: a.checkpoint.parent().unwrap_or(Path::new(".")).to_owned(),
        json: a.common.json,
        resume: "the same command".into(),
    };
    let done = runner.run(&RunStep { name: "generate".into(), command: "generate", request })?;
    if !a.stream {
        println!("{}", done.text);
    }
    Ok(())
}
