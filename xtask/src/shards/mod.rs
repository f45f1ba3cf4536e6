//! `cargo xtask shards`: what is there, what is missing, what is broken, and what is in it.

mod show;
mod status;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use slam_dataset::{Receipt, ShardName};
use slam_pipeline::select::Choice;
use slam_pipeline::{Pipeline, Plan, indices};

use crate::exit::Failure;
use crate::interrupt;
use crate::prepare_data::{Common, pipeline_path, select};
use crate::root::{Data, Root};
use crate::run::{self, Redo};
use crate::worker::Programs;

/// List, check, show and rebuild shards.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: Data,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every shard under the data root with rows and bytes
    List {
        /// Only this dataset
        dataset: Option<String>,
    },
    /// Re-hash every shard and name the bad ones
    Verify {
        /// Only this dataset
        dataset: Option<String>,
    },
    /// Shards of a pipeline that are done, missing or stale, and who made them
    Status {
        #[command(flatten)]
        planned: Planned,
        /// A line for every shard, not only for those that are not done
        #[arg(long)]
        all: bool,
    },
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
    /// Rows of a shard, or what a dataset's stages left out
    Show(show::Arguments),
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
    let root = Root::of(&arguments.data)?;
    if !matches!(arguments.command, Command::Rebuild { .. }) {
        interrupt::end_with_reader();
    }
    match &arguments.command {
        Command::List { dataset } => {
            learn(&root)?;
            list(&root.folder, dataset.as_deref())
        }
        Command::Verify { dataset } => {
            let worker = learn(&root)?;
            verify::run(&root, worker.as_deref(), dataset.as_deref())
        }
        Command::Status { planned, all } => {
            let plan = plan(planned)?.1;
            if root.store.is_some() {
                root.sync(&Programs::worker_alone("cpu")?.slam, &plan)?;
            }
            status::run(&plan, planned, *all, &root.folder)
        }
        Command::Rebuild { planned, stage, shards } => {
            let shards = shards.as_deref().map(indices_of).transpose()?;
            rebuild(planned, stage.as_deref(), shards.as_deref(), &root)
        }
        Command::Show(arguments) => {
            learn(&root)?;
            show::run(arguments, &root)
        }
    }
}

/// Learns what the store has, where the root is one; the worker that was asked.
fn learn(root: &Root) -> anyhow::Result<Option<PathBuf>> {
    if root.store.is_none() {
        return Ok(None);
    }
    let worker = Programs::worker_alone("cpu")?.slam;
    root.sync_all(&worker)?;
    Ok(Some(worker))
}

/// The folder of a dataset, or the root itself.
fn folder(root: &Path, dataset: Option<&str>) -> anyhow::Result<PathBuf> {
    let folder = dataset.map_or_else(|| root.to_owned(), |d| root.join(d));
    if !folder.is_dir() {
        let message = format!("there is no folder {}", folder.display());
        return Err(Failure::Usage(message).into());
    }
    Ok(folder)
}

/// Every shard below a folder: files that are named like one, and those whose receipts are there.
fn find(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if stem.parse::<ShardName>().is_ok() {
                if path.extension().is_none_or(|e| e != "json") {
                    found.push(path);
                } else if let Ok(receipt) = Receipt::read(&path) {
                    // The file that the receipt is about should be beside it.
                    found.extend(receipt.map(|r| path.with_file_name(r.file)));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn list(root: &Path, dataset: Option<&str>) -> anyhow::Result<()> {
    for shard in find(&folder(root, dataset)?)? {
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

fn indices_of(text: &str) -> anyhow::Result<Vec<u32>> {
    Ok(indices::parse(text).map_err(|e| Failure::Usage(format!("--shards: {e}")))?)
}

impl Planned {
    fn dataset(&self) -> Option<&str> {
        self.dataset.as_deref()
    }
}

fn plan(planned: &Planned) -> anyhow::Result<(Pipeline, Plan)> {
    let path = pipeline_path(&planned.pipeline)?;
    let pipeline = Pipeline::read(&path, planned.quick, &planned.common.overrides)?;
    let plan = Plan::of(&pipeline)?;
    Ok((pipeline, plan))
}

fn rebuild(
    planned: &Planned,
    stage: Option<&str>,
    shards: Option<&[u32]>,
    root: &Root,
) -> anyhow::Result<()> {
    let (pipeline, plan) = plan(planned)?;
    let force = shards.is_some();
    let choice = Choice { dataset: planned.dataset(), stage, shards, force };
    let folder = &root.folder;
    select(&plan, choice, folder)?;
    let programs = Programs::for_pipeline(&pipeline, &planned.common.device)?;
    root.sync(&programs.slam, &plan)?;
    // A shard whose bytes changed under its receipt is remade too: its receipt goes first.
    for (i, chosen) in select(&plan, choice, folder)?.chosen.iter().enumerate() {
        let units: Vec<_> = chosen.iter().map(|&k| &plan.stages[i].units[k]).collect();
        root.forget(&programs.slam, verify::changed(root, &programs.slam, &units)?)?;
    }
    let selection = select(&plan, choice, folder)?;
    let redo = if force { Redo::All } else { Redo::Undone };
    let settings = planned.common.settings(root, programs);
    let totals = run::selection(&plan, &selection, redo, &settings)?;
    println!("{} shards remade", totals.made);
    Ok(())
}
