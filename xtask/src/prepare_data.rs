//! `cargo xtask prepare-data`: corpus and unit shards.

use std::path::{Path, PathBuf};

use slam_dataset::WorkUnit;
use slam_dataset::receipt::ShardState;
use slam_pipeline::file::{Dataset, Role};
use slam_pipeline::select::Choice;
use slam_pipeline::{Pipeline, Plan, Selection, indices, plan};

use crate::exit::Failure;
use crate::root::{Data, Root};
use crate::run::{self, Redo};
use crate::sources::{self, Sources};
use crate::worker::{self, Programs};

/// Options that every command that makes shards shares.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Worker processes at once; 0 takes one a core
    #[arg(long, default_value_t = 0)]
    pub(crate) jobs: usize,
    /// auto, cpu, cuda[:n] or wgpu[:n]; training also takes a list, e.g. cuda:0,cuda:1, whose first device
    /// holds the weights and makes the scores
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    pub(crate) device: String,
    /// The share of inputs that may be left out
    #[arg(long, default_value_t = 0.01)]
    pub(crate) max_bad_fraction: f64,
    /// Change a field of the pipeline, e.g. train.params.peak_lr=5e-4
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Events as JSON lines on stderr
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    pub(crate) fn settings(&self, root: &Root, programs: Programs) -> run::Settings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = vec!["--device".into(), self.device.clone()];
        arguments.extend(root.arguments());
        run::Settings {
            root: root.folder.clone(),
            programs,
            arguments,
            jobs: if self.jobs == 0 { cores } else { self.jobs },
            max_bad_fraction: self.max_bad_fraction,
            json: self.json,
        }
    }
}

/// Make corpus and unit shards.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The pipeline: a name in pipelines/ or a file
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// A folder of WAV, FLAC, MP3 or Ogg files to take in place of the pipeline's datasets
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// The dataset's name (with --input: the name to give it)
    #[arg(long)]
    dataset: Option<String>,
    /// Only this stage: ingest, fit-kmeans, unitise, pair or benchmark
    #[arg(long)]
    stage: Option<String>,
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
    let path = pipeline_path(&arguments.pipeline)?;
    let mut pipeline = Pipeline::read(&path, false, &common.overrides)?;
    if let Some(folder) = &arguments.input {
        take_folder(&mut pipeline, folder, arguments.dataset.as_deref());
    }
    let root = Root::of(&arguments.data)?;
    let asked = arguments.dataset.as_deref();
    sources::settle(
        &mut pipeline,
        asked,
        &arguments.sources,
        &root.folder,
        &common.device,
        common.json,
    )?;
    if let Some(seconds) = arguments.max_seconds {
        pipeline.datasets.iter_mut().for_each(|d| d.max_seconds = Some(seconds));
    }
    let shards = match &arguments.shards {
        Some(text) => {
            Some(indices::parse(text).map_err(|e| Failure::Usage(format!("--shards: {e}")))?)
        }
        None => None,
    };
    let plan = Plan::of(&pipeline)?;
    let choice = Choice {
        dataset: arguments.dataset.as_deref(),
        stage: arguments.stage.as_deref(),
        shards: shards.as_deref(),
        force: arguments.force,
    };
    // What is no choice at all is said before anything is built.
    select(&plan, choice, &root.folder)?;
    let redo = if arguments.force { Redo::All } else { Redo::Undone };
    run::check_root(&root.folder)?;
    let programs = Programs::for_pipeline(&pipeline, &common.device)?;
    let worker = programs.slam.clone();
    root.sync(&worker, &plan)?;
    let selection = select(&plan, choice, &root.folder)?;
    push_left_over(&plan, &root, &worker)?;
    let settings = common.settings(&root, programs);
    let totals = run::selection(&plan, &selection, redo, &settings)?;
    let (made, kept) = (totals.made, totals.kept);
    println!("{made} shards made, {kept} were up to date, in {}", root.name());
    Ok(())
}

/// Pushes shards that a run which broke off had made but not sent.
fn push_left_over(plan: &Plan, root: &Root, worker: &Path) -> anyhow::Result<()> {
    let finished = |unit: &&WorkUnit| {
        let file = root.folder.join(&unit.output);
        file.is_file() && matches!(plan::state(unit, &root.folder), ShardState::Done(_))
    };
    let units = plan.stages.iter().flat_map(|s| &s.units).filter(finished);
    root.push(worker, units.map(|u| u.output.clone()).collect())
}

/// What a choice selects of a plan; a choice that fits nothing is bad usage.
pub(crate) fn select(plan: &Plan, choice: Choice<'_>, root: &Path) -> anyhow::Result<Selection> {
    Ok(Selection::of(plan, choice, root).map_err(|e| Failure::Usage(e.to_string()))?)
}

/// Puts a folder of recordings in place of the pipeline's datasets.
pub(crate) fn take_folder(pipeline: &mut Pipeline, folder: &Path, name: Option<&str>) {
    let default = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.unwrap_or(if default.is_empty() { "recordings" } else { &default });
    pipeline.datasets = vec![Dataset {
        name: name.to_owned(),
        role: Role::Speech,
        shards: 1,
        shard_bytes: None,
        max_seconds: None,
        rows: 0,
        source: serde_json::json!({"kind": "folder", "folder": folder}),
        licence: String::new(),
    }];
    if let Some(fit_on) = &mut pipeline.tokeniser.fit_on {
        name.clone_into(fit_on);
    }
}

/// A pipeline by name or by path.
pub(crate) fn pipeline_path(name: &str) -> anyhow::Result<PathBuf> {
    let named = worker::workspace().join("pipelines").join(format!("{name}.toml"));
    let path = PathBuf::from(name);
    if named.is_file() {
        Ok(named)
    } else if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::Usage(format!(
            "there is no pipeline '{name}': neither {} nor a file of that name",
            named.display()
        ))
        .into())
    }
}
