//! `shards`: what is there, what is missing, what is broken, and what is in it.

mod files;
mod show;
mod status;
mod verify;

use std::path::{Path, PathBuf};

use slam_pipeline::Plan;
use slam_pipeline::select::Choice;
use slam_recipe::lock::Prepared;
use slam_recipe::pipeline::Dataset;
use slam_recipe::{Pipeline, Receipt, Stage, indices};

use files::{find, folder};

use crate::exit::Failure;
use crate::options::{Common, PipelineName};
use crate::prepare_data::select;
use crate::prepared::{self, PrepareCommand};
use crate::programs::Programs;
use crate::root::{Data, Root};
use crate::run::{self, Redo};
use crate::sources;

/// List, check, show and rebuild shards.
#[derive(clap::Args)]
pub struct Arguments {
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
        stage: Option<Stage>,
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
    #[command(flatten)]
    pipeline: PipelineName,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Root::new(&arguments.data)?;
    if !matches!(arguments.command, Command::Rebuild { .. }) {
        slam_interrupt::end_with_reader();
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
            let pipeline = planned.pipeline(&root)?;
            let worker = match root.store {
                Some(_) => Programs::worker_on_cpu()?.slam,
                None => PathBuf::new(),
            };
            let named = planned.pipeline.choice(&planned.common);
            let command = PrepareCommand { named: &named, root: &root };
            let wanted = |name: &str| planned.dataset().is_none_or(|d| d == name);
            let locked = |needed: &dyn Fn(&Dataset) -> bool| {
                prepared::read(&command, &worker, &pipeline, |_, d| needed(d))
            };
            locked(&|_| false)?;
            // Recordings that are there tell what has changed; where they are not, the lock tells what was planned.
            let mut data = match Plan::new(&pipeline) {
                Ok(plan) => Prepared { datasets: plan.locked(&pipeline) },
                Err(_) => locked(&|d| wanted(&d.name))?,
            };
            data.datasets.retain(|d| wanted(&d.dataset.name));
            if let (Some(name), true) = (planned.dataset(), data.datasets.is_empty()) {
                let known: Vec<_> = pipeline.datasets.iter().map(|d| d.name.as_str()).collect();
                let known = known.join(", ");
                let message = format!("there is no dataset '{name}'; there are: {known}");
                return Err(Failure::Usage(message).into());
            }
            root.sync_shards(&worker, data.all().map(|(_, _, s)| s.output.clone()).collect())?;
            let form = match (planned.common.json, *all) {
                (true, _) => status::Form::Json,
                (false, true) => status::Form::EveryShard,
                (false, false) => status::Form::Summary,
            };
            status::run(&data, form, &root.folder);
            Ok(())
        }
        Command::Rebuild { planned, stage, shards } => {
            let shards = shards.as_deref().map(indices_of).transpose()?;
            rebuild(planned, *stage, shards.as_deref(), &root)
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
    let worker = Programs::worker_on_cpu()?.slam;
    root.sync_all(&worker)?;
    Ok(Some(worker))
}

fn list(root: &Path, dataset: Option<&str>) -> anyhow::Result<()> {
    for shard in find(&folder(root, dataset)?)? {
        let name = shard.strip_prefix(root).unwrap_or(&shard).display().to_string();
        match Receipt::read(&shard) {
            Ok(Some(r)) => crate::out::say!(
                "{name}\t{} rows\t{} bytes\t{} quarantined\t{}",
                r.rows,
                r.bytes,
                r.quarantined,
                r.key.short()
            ),
            Ok(None) => crate::out::say!("{name}\tno receipt"),
            Err(e) => crate::out::say!("{name}\tbroken receipt: {e}"),
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

    /// The pipeline, or what the lock has of the dataset where no pipeline is named and it is in none.
    fn pipeline(&self, root: &Root) -> anyhow::Result<Pipeline> {
        let mut pipeline = self.pipeline.read(&self.common)?;
        let any = !self.pipeline.is_given() && self.common.overrides.is_empty();
        if let Some(name) = self.dataset()
            && any
            && pipeline.dataset(name).is_none()
        {
            sources::adopt(&mut pipeline, &root.folder, name);
        }
        sources::recall(&mut pipeline, &root.folder);
        Ok(pipeline)
    }
}

fn rebuild(
    planned: &Planned,
    stage: Option<Stage>,
    shards: Option<&[u32]>,
    root: &Root,
) -> anyhow::Result<()> {
    let pipeline = planned.pipeline(root)?;
    let plan = Plan::new(&pipeline)?;
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
    let worker = settings.programs.slam.clone();
    let totals = prepared::noted(root, &worker, plan.locked(&pipeline), || {
        run::selection(&plan, &selection, redo, &settings)
    })?;
    crate::out::say!("{} shards remade", totals.made);
    Ok(())
}
