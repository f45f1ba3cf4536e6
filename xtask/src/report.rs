//! `cargo xtask report`: a run's report again.

use std::path::PathBuf;

use slam_pipeline::{Plan, RunFile};

use crate::prepare_data::Common;
use crate::recipe::Recipe;
use crate::worker::Programs;

/// Write a run's report again and print its table.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder
    run: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = RunFile::read(&arguments.run)?;
    let plan = Plan::of(&file.pipeline)?;
    let programs = Programs::worker_alone(&arguments.common.device)?;
    let recipe = Recipe {
        file: &file,
        common: &arguments.common,
        programs,
        run: &arguments.run,
        resume: "the same command".into(),
    };
    let (table, _) = recipe.run(&plan, |step| step.command == "report")?;
    println!("{table}");
    Ok(())
}
