//! `demo`: the whole chain on a synthetic corpus.

use std::path::PathBuf;
use std::time::Instant;

use slam_pipeline::{Plan, Steps};
use slam_recipe::lock::Lock;
use slam_recipe::pipeline::Variant;
use slam_recipe::source::Engine;
use slam_recipe::{PipelineChoice, RunFile};

use crate::options::Common;
use crate::programs::Programs;
use crate::recipe::Recipe;
use crate::shipped;

/// What the quick demo's report says.
const QUICK: &str = "This is a quick run: it shows that every stage works. The model is far too small and \
                     sees far too little speech, so its scores mean nothing.";

/// The whole chain on a synthetic corpus, nothing to download.
#[derive(clap::Args)]
pub struct Arguments {
    /// The same chain in about 10 s on two cores; its scores mean nothing
    #[arg(long)]
    quick: bool,
    /// A command that speaks in place of the project's own program: text on stdin, WAV on stdout
    #[arg(long, value_name = "COMMAND")]
    tts_command: Option<String>,
    /// The run's folder [default: runs/demo, or runs/demo-quick]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The data root [default: data, or data/quick]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { quick, common, .. } = arguments;
    let variant = if *quick { Variant::Quick } else { Variant::Full };
    let mut pipeline = shipped::pipeline("demo", variant, &common.overrides)?;
    if let Some(command) = &arguments.tts_command {
        for dataset in &mut pipeline.datasets {
            if let Some(engine) = dataset.source.engine_mut() {
                *engine = Engine::Command(command.clone());
            }
        }
    }
    let plan = Plan::new(&pipeline)?;
    let programs = Programs::for_pipeline(&pipeline, &common.device)?;
    let default = |full: &str, small: &str| PathBuf::from(if *quick { small } else { full });
    let data = arguments.data.clone().unwrap_or_else(|| default("data", "data/quick"));
    let run = arguments.run.clone().unwrap_or_else(|| default("runs/demo", "runs/demo-quick"));
    let overrides = common.overrides.clone();
    let named = PipelineChoice { pipeline: "demo".into(), variant, overrides };
    let file = RunFile { pipeline, data, notice: quick.then(|| QUICK.to_owned()), named };
    let recipe =
        Recipe { file: &file, common, programs, run: &run, resume: "the same command".into() };
    let started = Instant::now();
    let (made, kept) = recipe.data(&plan)?;
    let prepared = Lock::read(&file.data)?.select(&file.data, &file.pipeline, |_| true)?;
    let worked = recipe.start(&prepared, &file.steps(&prepared, &run)?)?;
    crate::out::say!("{}", worked.table);
    if made + worked.steps == 0 {
        crate::out::say!(
            "nothing to do: {kept} shards, the models and their scores are up to date"
        );
    } else {
        crate::out::say!(
            "done in {:.0} s: {made} shards made, {kept} kept",
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
