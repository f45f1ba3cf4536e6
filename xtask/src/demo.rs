//! `cargo xtask demo`: the whole chain on a synthetic corpus.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use slam_pipeline::{Pipeline, Plan, RunFile};

use crate::prepare_data::{Common, pipeline_path};
use crate::recipe::Recipe;
use crate::worker::Programs;

/// What the quick demo's report says.
const QUICK: &str = "This is a quick run: it shows that every stage works. The model is far too small and \
                     sees far too little speech, so its scores mean nothing.";

/// The whole chain on a synthetic corpus, nothing to download.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The same chain in about a minute; its scores mean nothing
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
    let mut pipeline = Pipeline::read(&pipeline_path("demo")?, *quick, &common.overrides)?;
    if let Some(command) = &arguments.tts_command {
        for dataset in &mut pipeline.datasets {
            if let Some(source) = dataset.source.as_object_mut() {
                source.insert("engine".into(), json!({"command": command}));
            }
        }
    }
    let started = Instant::now();
    let plan = Plan::of(&pipeline)?;
    let programs = Programs::for_pipeline(&pipeline, &common.device)?;
    if started.elapsed().as_secs() > 1 {
        eprintln!("built in {:.0} s", started.elapsed().as_secs_f64());
    }
    let default = |full: &str, small: &str| PathBuf::from(if *quick { small } else { full });
    let data = arguments.data.clone().unwrap_or_else(|| default("data", "data/quick"));
    let run = arguments.run.clone().unwrap_or_else(|| default("runs/demo", "runs/demo-quick"));
    let file = RunFile { pipeline, data, notice: quick.then(|| QUICK.to_owned()) };
    let recipe =
        Recipe { file: &file, common, programs, run: &run, resume: "the same command".into() };
    let started = Instant::now();
    let (made, kept) = recipe.data(&plan)?;
    let (table, worked) = recipe.run(&plan, |_| true)?;
    println!("{table}");
    if made + worked == 0 {
        println!("nothing to do: {kept} shards, the models and their scores are up to date");
    } else {
        println!(
            "done in {:.0} s: {made} shards made, {kept} kept",
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
