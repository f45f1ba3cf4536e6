//! `cargo xtask prepare-data`: corpus and unit shards.

use std::path::{Path, PathBuf};

use slam_pipeline::file::{Dataset, Role};
use slam_pipeline::{Pipeline, Plan, indices};

use crate::exit::Failure;
use crate::run;
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
    pub(crate) fn settings(&self, root: &Path, programs: Programs) -> run::Settings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        run::Settings {
            root: root.to_owned(),
            programs,
            arguments: vec!["--device".into(), self.device.clone()],
            jobs: if self.jobs == 0 { cores } else { self.jobs },
            shards: None,
            force: false,
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
    /// Redo shards that are done
    #[arg(long)]
    force: bool,
    /// The data root
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// The executor
    #[arg(long, default_value = "local", value_parser = ["local"])]
    executor: String,
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
    let shards = match &arguments.shards {
        Some(text) => {
            Some(indices::parse(text).map_err(|e| Failure::Usage(format!("--shards: {e}")))?)
        }
        None => None,
    };
    let plan = Plan::of(&pipeline)?;
    run::check_root(&arguments.data)?;
    let programs = Programs::for_pipeline(&pipeline, &common.device)?;
    let mut settings = common.settings(&arguments.data, programs);
    settings.shards = shards;
    settings.force = arguments.force;
    let chosen: Vec<_> = plan
        .stages
        .iter()
        .filter(|s| arguments.dataset.as_ref().is_none_or(|d| *d == s.dataset))
        .filter(|s| arguments.stage.as_ref().is_none_or(|x| x == s.stage))
        .collect();
    if chosen.is_empty() {
        return Err(Failure::Usage(format!(
            "pipeline '{}' has no such dataset and stage",
            pipeline.name
        ))
        .into());
    }
    let (mut made, mut kept) = (0, 0);
    for stage in chosen {
        let totals = run::stage(stage, &settings)?;
        made += totals.made;
        kept += totals.kept;
    }
    println!("{made} shards made, {kept} were up to date, in {}", arguments.data.display());
    Ok(())
}

/// Puts a folder of recordings in place of the pipeline's datasets.
fn take_folder(pipeline: &mut Pipeline, folder: &Path, name: Option<&str>) {
    let default = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.unwrap_or(if default.is_empty() { "recordings" } else { &default });
    pipeline.datasets = vec![Dataset {
        name: name.to_owned(),
        role: Role::Speech,
        shards: 1,
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
