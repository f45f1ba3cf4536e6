//! `generate`: continuations of spoken prompts.

use std::path::PathBuf;

use anyhow::bail;
use slam_recipe::Request;
use slam_recipe::event::Outcome;
use slam_recipe::lock::Lock;
use slam_recipe::request::{GenerateRequest, Reporting, TokeniserFiles};

use crate::exit::Failure;
use crate::options::{Common, PipelineName};
use crate::prepared::PrepareCommand;
use crate::root::Root;

/// Continue spoken prompts.
#[derive(clap::Args)]
pub struct Arguments {
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
    /// The pipeline whose tokeniser the model was trained with; recordings alone need it
    #[command(flatten)]
    pipeline: PipelineName,
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
    let speaks = a.prompt.iter().any(|p| p.extension().is_none_or(|e| e != "json"));
    let request = GenerateRequest {
        checkpoint: a.checkpoint.clone(),
        prompts: a.prompt.clone(),
        prompt_seconds: a.prompt_seconds,
        tokeniser: speaks.then(|| tokeniser(a)).transpose()?,
        max_new_tokens: a.max_new_tokens,
        temperature: a.temperature,
        top_k: a.top_k,
        top_p: a.top_p,
        repetition_penalty: a.repetition_penalty,
        seed: a.seed,
        out: a.out.clone(),
        reporting: if a.stream { Reporting::Streamed } else { Reporting::AtEnd },
    };
    let Outcome::Table(continuations) = a.common.once("generate", Request::Generate(request))?
    else {
        bail!("the worker continued nothing");
    };
    if !a.stream {
        crate::out::say!("{continuations}");
    }
    Ok(())
}

/// The tokeniser's files, as the lock of the data root names them.
fn tokeniser(a: &Arguments) -> anyhow::Result<TokeniserFiles> {
    let pipeline = a.pipeline.read(&a.common)?;
    let root = Root::at(&a.data);
    let named = a.pipeline.choice(&a.common);
    let command = PrepareCommand { named: &named, root: &root };
    // Where centroids are fitted, the lock of the dataset that they are fitted on names them.
    let fit_on = pipeline.tokeniser.fit_on.as_deref();
    let needed = |d: &slam_recipe::pipeline::Dataset| fit_on == Some(&d.name);
    let selected =
        Lock::read(&root.folder).and_then(|lock| lock.select(&root.folder, &pipeline, needed));
    let prepared = match selected {
        Ok(prepared) => prepared,
        Err(e) => bail!("{e}; a recording becomes units by the tokeniser of `{command}`"),
    };
    let Some(dataset) = prepared.datasets.into_iter().find(|d| !d.tokeniser_files.is_empty())
    else {
        bail!(
            "the lock of {} names no file of tokeniser '{}'; a recording becomes units by the tokeniser of `{command}`",
            root.name(),
            pipeline.tokeniser.name
        );
    };
    Ok(TokeniserFiles {
        name: pipeline.tokeniser.name,
        features: pipeline.tokeniser.features,
        files: dataset.tokeniser_files,
        root: std::path::absolute(&a.data)?,
    })
}
