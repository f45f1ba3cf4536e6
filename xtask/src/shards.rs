//! `cargo xtask shards`: what is there, what is missing, what is broken.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use slam_dataset::receipt::ShardState;
use slam_dataset::{Receipt, ShardName};
use slam_pipeline::{Pipeline, Plan, indices};

use crate::exit::Failure;
use crate::prepare_data::{Common, pipeline_path};
use crate::run;
use crate::worker::Programs;

/// List, check and rebuild shards.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The data root
    #[arg(long, default_value = "data", global = true)]
    data: PathBuf,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every shard under the data root with rows and bytes
    List,
    /// Re-hash every shard and name the bad ones
    Verify,
    /// Shards of a pipeline that are done, missing or stale
    Status(Planned),
    /// Remake the missing, stale and broken shards of a dataset, or those that --shards names
    Rebuild {
        #[command(flatten)]
        planned: Planned,
        /// Only this stage: ingest, fit-kmeans, unitise, pair or benchmark
        #[arg(long)]
        stage: Option<String>,
        /// Remake these in any case, e.g. 0-9,17
        #[arg(long)]
        shards: Option<String>,
    },
}

#[derive(clap::Args)]
struct Planned {
    /// The dataset, or all
    dataset: Option<String>,
    /// The pipeline: a name in pipelines/ or a file
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// The small variant of the pipeline
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List => list(&arguments.data),
        Command::Verify => verify(&arguments.data),
        Command::Status(planned) => status(planned, &arguments.data),
        Command::Rebuild { planned, stage, shards } => {
            let shards = shards.as_deref().map(indices_of).transpose()?;
            rebuild(planned, stage.as_deref(), shards, &arguments.data)
        }
    }
}

/// Every file below a folder that is named like a shard.
fn find(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to read the data root {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if stem.parse::<ShardName>().is_ok()
                && path.extension().is_some_and(|e| e != "json")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn list(root: &Path) -> anyhow::Result<()> {
    for shard in find(root)? {
        let name = shard.strip_prefix(root).unwrap_or(&shard).display().to_string();
        match Receipt::read(&shard) {
            Ok(Some(r)) => println!(
                "{name}\t{} rows\t{} bytes\t{} quarantined\t{}",
                r.rows,
                r.bytes,
                r.quarantined,
                r.key.short()
            ),
            Ok(None) => println!("{name}\tno receipt"),
            Err(e) => println!("{name}\tbroken receipt: {e}"),
        }
    }
    Ok(())
}

fn verify(root: &Path) -> anyhow::Result<()> {
    let (mut good, mut bad) = (0, 0);
    for shard in find(root)? {
        let problem = match Receipt::read(&shard) {
            Ok(Some(receipt)) => match receipt.verify(&shard) {
                Ok(true) => None,
                Ok(false) => Some("its bytes are not those of its receipt".to_owned()),
                Err(e) => Some(e.to_string()),
            },
            Ok(None) => Some("it has no receipt".to_owned()),
            Err(e) => Some(format!("its receipt is unreadable: {e}")),
        };
        match problem {
            None => good += 1,
            Some(problem) => {
                bad += 1;
                println!("{}: {problem}", shard.display());
            }
        }
    }
    println!("{good} good, {bad} bad");
    if bad > 0 {
        bail!("{bad} shards are bad; `cargo xtask shards rebuild` remakes them");
    }
    Ok(())
}

fn indices_of(text: &str) -> anyhow::Result<Vec<u32>> {
    Ok(indices::parse(text).map_err(|e| Failure::Usage(format!("--shards: {e}")))?)
}

fn plan(planned: &Planned) -> anyhow::Result<(Pipeline, Plan)> {
    let path = pipeline_path(&planned.pipeline)?;
    let pipeline = Pipeline::read(&path, planned.quick, &planned.common.overrides)?;
    let mut plan = Plan::of(&pipeline)?;
    if let Some(dataset) = &planned.dataset {
        plan.stages.retain(|s| s.dataset == *dataset);
        if plan.stages.is_empty() {
            let message = format!("pipeline '{}' has no dataset '{dataset}'", pipeline.name);
            return Err(Failure::Usage(message).into());
        }
    }
    Ok((pipeline, plan))
}

fn status(planned: &Planned, root: &Path) -> anyhow::Result<()> {
    for stage in plan(planned)?.1.stages {
        let mut counts = [0; 4];
        let mut first = None;
        for (state, unit) in stage.states(root).into_iter().zip(&stage.units) {
            let (slot, note) = match state {
                ShardState::Done(_) => (0, None),
                ShardState::Missing => (1, Some("missing".to_owned())),
                ShardState::Stale => (2, Some("stale".to_owned())),
                ShardState::Broken(why) => (3, Some(why)),
            };
            counts[slot] += 1;
            if let (None, Some(note)) = (&first, note) {
                first = Some(format!("; first: {} {note}", unit.output.display()));
            }
        }
        let [done, missing, stale, broken] = counts;
        println!(
            "{} {}: {done} done, {missing} missing, {stale} stale, {broken} broken{}",
            stage.dataset,
            stage.stage,
            first.unwrap_or_default()
        );
    }
    Ok(())
}

fn rebuild(
    planned: &Planned,
    stage: Option<&str>,
    shards: Option<Vec<u32>>,
    root: &Path,
) -> anyhow::Result<()> {
    let (pipeline, mut plan) = plan(planned)?;
    if let Some(stage) = stage {
        plan.stages.retain(|s| s.stage == stage);
        if plan.stages.is_empty() {
            return Err(Failure::Usage(format!("there is no stage '{stage}' here")).into());
        }
    }
    let programs = Programs::for_pipeline(&pipeline, &planned.common.device)?;
    let mut settings = planned.common.settings(root, programs);
    settings.force = shards.is_some();
    settings.shards = shards;
    let mut made = 0;
    for stage in &plan.stages {
        // A shard whose bytes changed under its receipt is remade too: its receipt goes first.
        for unit in &stage.units {
            let shard = root.join(&unit.output);
            if let Ok(Some(receipt)) = Receipt::read(&shard)
                && !receipt.verify(&shard).unwrap_or(false)
            {
                let _ = fs::remove_file(Receipt::path_of(&shard));
            }
        }
        made += run::stage(stage, &settings)?.made;
    }
    println!("{made} shards remade");
    Ok(())
}
