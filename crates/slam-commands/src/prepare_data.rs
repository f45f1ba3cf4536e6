//! `prepare-data`: corpus and unit shards.

use std::path::{Path, PathBuf};

use slam_pipeline::select::Choice;
use slam_pipeline::{Plan, Selection};
use slam_recipe::lock::{Lock, LockedDataset};
use slam_recipe::pipeline::Dataset;
use slam_recipe::receipt::{self, ShardState};
use slam_recipe::source::{Folder, Source};
use slam_recipe::{Pipeline, Stage, WorkUnit, indices};

use crate::exit::Failure;
use crate::options::{Common, PipelineName};
use crate::prepared;
use crate::programs::Programs;
use crate::root::{Data, Root};
use crate::run::{self, Redo};
use crate::sources::{self, Sources};

/// Make corpus and unit shards.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineName,
    /// A folder of recordings to take in place of the pipeline's datasets
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// The dataset's name (with --input: the name to give it)
    #[arg(long)]
    dataset: Option<String>,
    /// Only this stage: ingest, fit-kmeans, unitise, pair or benchmark
    #[arg(long)]
    stage: Option<Stage>,
    /// Only these shards, e.g. 0-9,17
    #[arg(long)]
    shards: Option<String>,
    /// Cut recordings longer than this by voice activity; 0 cuts none [default: 30 for folders of recordings]
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<f64>,
    /// Redo shards that are done
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data: Data,
    /// The executor
    #[arg(long, default_value = "local", value_parser = ["local"])]
    executor: String,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let mut pipeline = arguments.pipeline.read(common)?;
    if let Some(folder) = &arguments.input {
        take_folder(&mut pipeline, folder, arguments.dataset.as_deref());
    }
    let root = Root::new(&arguments.data)?;
    let asked = arguments.dataset.as_deref();
    sources::settle(&mut pipeline, asked, &arguments.sources, &root.folder, common)?;
    if let Some(seconds) = arguments.max_seconds {
        pipeline.datasets.iter_mut().for_each(|d| d.max_seconds = Some(seconds));
    }
    pipeline.check_datasets().map_err(|e| Failure::Usage(e.to_string()))?;
    let shards = match &arguments.shards {
        Some(text) => {
            Some(indices::parse(text).map_err(|e| Failure::Usage(format!("--shards: {e}")))?)
        }
        None => None,
    };
    let plan = Plan::new(&pipeline)?;
    let choice = Choice {
        dataset: arguments.dataset.as_deref(),
        stage: arguments.stage,
        shards: shards.as_deref(),
        force: arguments.force,
    };
    // A choice that fits nothing is an error before anything is built.
    select(&plan, choice, &root.folder)?;
    let redo = if arguments.force { Redo::All } else { Redo::Undone };
    run::check_root(&root.folder)?;
    let programs = Programs::for_pipeline(&pipeline, &common.device)?;
    let worker = programs.slam.clone();
    if let (Some(folder), None) = (&arguments.input, &arguments.dataset) {
        check_name_is_free(&pipeline, folder, &root, &worker)?;
    }
    root.sync(&worker, &plan)?;
    let selection = select(&plan, choice, &root.folder)?;
    push_left_over(&plan, &root, &worker)?;
    let settings = common.settings(&root, programs);
    let totals = prepared::noted(&root, &worker, plan.locked(&pipeline), || {
        run::selection(&plan, &selection, redo, &settings)
    })?;
    let (made, kept) = (totals.made, totals.kept);
    crate::out::say!("{made} shards made, {kept} were up to date, in {}", root.name());
    Ok(())
}

/// Fails where another folder of the same name was prepared before: its shards would be replaced.
pub(crate) fn check_name_is_free(
    pipeline: &Pipeline,
    folder: &Path,
    root: &Root,
    worker: &Path,
) -> anyhow::Result<()> {
    root.pull_lock(worker)?;
    let resolved = |path: &Path| {
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
    };
    let Ok(lock) = Lock::read(&root.folder) else { return Ok(()) };
    let named = |d: &&LockedDataset| pipeline.dataset(&d.dataset.name).is_some();
    for locked in lock.datasets.iter().filter(named) {
        let before = locked.dataset.source.folder();
        if before.is_none_or(|before| resolved(before) != resolved(folder)) {
            return Err(Failure::Usage(format!(
                "dataset '{}' in {} was made of {}, and its shards would be replaced; give this one a name of its own \
                 (--dataset NAME), or name another data root (--data)",
                locked.dataset.name,
                root.folder.display(),
                before.map_or("no folder".to_owned(), |before| before.display().to_string())
            ))
            .into());
        }
    }
    Ok(())
}

/// Pushes shards that a run which broke off had made but not sent.
fn push_left_over(plan: &Plan, root: &Root, worker: &Path) -> anyhow::Result<()> {
    let finished = |unit: &&WorkUnit| {
        let state = receipt::state(&root.folder, &unit.output, &unit.key);
        root.folder.join(&unit.output).is_file() && matches!(state, ShardState::Done(_))
    };
    let units = plan.stages.iter().flat_map(|s| &s.units).filter(finished);
    root.push(worker, units.map(|u| u.output.clone()).collect())
}

/// What a choice selects of a plan; a choice that fits nothing is bad usage.
pub(crate) fn select(plan: &Plan, choice: Choice<'_>, root: &Path) -> anyhow::Result<Selection> {
    Ok(Selection::new(plan, choice, root).map_err(|e| Failure::Usage(e.to_string()))?)
}

/// Puts a folder of recordings in place of the pipeline's datasets.
pub(crate) fn take_folder(pipeline: &mut Pipeline, folder: &Path, name: Option<&str>) {
    let default = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.unwrap_or(if default.is_empty() { "recordings" } else { &default });
    // The lock keeps it, and the next command may start elsewhere.
    let place = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let source = Source::Folder(Folder { folder: Some(place), ..Folder::default() });
    pipeline.datasets = vec![Dataset::new(name, source)];
    if let Some(fit_on) = &mut pipeline.tokeniser.fit_on {
        name.clone_into(fit_on);
    }
}
