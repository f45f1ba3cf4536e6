//! `units`: parts of a tokeniser.

use std::path::{Path, PathBuf};

use anyhow::Context;
use slam_pipeline::Plan;
use slam_recipe::pipeline::{Role, Variant};
use slam_recipe::tokeniser::KMeansConfig;
use slam_recipe::{Pipeline, Receipt, Stage, publish};

use crate::exit::Failure;
use crate::options::Common;
use crate::prepare_data::{check_name_is_free, take_folder};
use crate::programs::Programs;
use crate::root::{Data, Root};
use crate::run;
use crate::shipped;

/// Parts of a tokeniser
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Fit k-means centroids on a dataset's speech, with a pipeline's feature extractor
    FitKmeans(FitArguments),
}

#[derive(clap::Args)]
struct FitArguments {
    /// The pipeline whose [tokeniser] says the features and how to fit: a name in pipelines/ or a file
    #[arg(long, default_value = "demo")]
    pipeline: String,
    /// The dataset to fit on [default: tokeniser.fit_on, else the pipeline's first speech dataset]
    #[arg(long)]
    dataset: Option<String>,
    /// A folder of recordings to take in place of the pipeline's datasets
    #[arg(long, value_name = "DIR", conflicts_with = "dataset")]
    input: Option<PathBuf>,
    /// How many of the dataset's shards, from the first [default: tokeniser.fit_shards]
    #[arg(long)]
    fit_shards: Option<u32>,
    /// How many centroids [default: tokeniser.kmeans.k, else 500]
    #[arg(long, value_parser = centroids)]
    k: Option<usize>,
    /// The seed of the start and the order
    #[arg(long)]
    seed: Option<u64>,
    /// Where a copy of the centroids goes (safetensors), for `tokeniser.centroids` of other pipelines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    common: Common,
}

/// A number of centroids.
fn centroids(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(k) if KMeansConfig::CENTROIDS.contains(&k) => Ok(k),
        _ => Err(Failure::Usage("there can be 1 to 65,535 centroids".into())),
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Part::FitKmeans(arguments) => fit_kmeans(arguments),
    }
}

fn fit_kmeans(a: &FitArguments) -> anyhow::Result<()> {
    let mut pipeline = shipped::pipeline(&a.pipeline, Variant::Full, &a.common.overrides)?;
    if let Some(folder) = &a.input {
        take_folder(&mut pipeline, folder, None);
    }
    let dataset = dataset(&pipeline, a.dataset.as_deref())?;
    let tokeniser = &mut pipeline.tokeniser;
    tokeniser.centroids = None;
    tokeniser.fit_on = Some(dataset.clone());
    tokeniser.fit_shards = a.fit_shards.unwrap_or(tokeniser.fit_shards).max(1);
    if let Some(k) = a.k {
        tokeniser.kmeans.k = k;
    }
    if let Some(seed) = a.seed {
        tokeniser.kmeans.seed = seed;
    }
    let shards = tokeniser.fit_shards;
    pipeline.check_datasets().map_err(|e| Failure::Usage(e.to_string()))?;
    let plan = Plan::new(&pipeline)?;
    let root = Root::new(&a.data)?;
    run::check_root(&root.folder)?;
    let programs = Programs::for_pipeline(&pipeline, &a.common.device)?;
    if let Some(folder) = &a.input {
        check_name_is_free(&pipeline, folder, &root, &programs.slam)?;
    }
    let settings = a.common.settings(&root, programs);
    let stage_of = |stage: Stage| {
        plan.stages
            .iter()
            .find(|s| s.dataset == dataset && s.stage == stage)
            .with_context(|| format!("dataset '{dataset}' has no stage {stage}"))
    };
    run::first_of_stage(stage_of(Stage::Ingest)?, shards as usize, &settings)?;
    let fit = stage_of(Stage::FitKmeans)?;
    run::stage(fit, &settings)?;
    let made = root.folder.join(&fit.units[0].output);
    crate::out::say!("{}", said(&made)?);
    if let Some(out) = &a.out {
        let bytes =
            std::fs::read(&made).with_context(|| format!("failed to read {}", made.display()))?;
        publish::write(out, &bytes)?;
        crate::out::say!("copied to {}", out.display());
    }
    Ok(())
}

/// The dataset to fit on.
fn dataset(pipeline: &Pipeline, named: Option<&str>) -> anyhow::Result<String> {
    let name = match (named, &pipeline.tokeniser.fit_on) {
        (Some(name), _) => Some(name.to_owned()),
        (None, Some(fit_on)) => Some(fit_on.clone()),
        (None, None) => {
            pipeline.datasets.iter().find(|d| d.role == Role::Speech).map(|d| d.name.clone())
        }
    };
    match name {
        Some(name) if pipeline.dataset(&name).is_some() => Ok(name),
        Some(name) => {
            let known: Vec<_> = pipeline.datasets.iter().map(|d| d.name.as_str()).collect();
            Err(Failure::Usage(format!(
                "pipeline '{}' has no dataset '{name}'; it has {}",
                pipeline.name,
                known.join(", ")
            ))
            .into())
        }
        None => Err(Failure::Usage(format!(
            "pipeline '{}' has no speech to fit on; name a folder of recordings with --input",
            pipeline.name
        ))
        .into()),
    }
}

/// A sentence about a file of centroids, from its receipt.
fn said(made: &Path) -> anyhow::Result<String> {
    let receipt = Receipt::read(made)?
        .with_context(|| format!("{} has no receipt; fit it again", made.display()))?;
    let total = |name: &str| receipt.totals.get(name).copied().unwrap_or_default();
    Ok(format!(
        "{}: {} centroids of {} frames, mean squared distance {:.4}",
        made.display(),
        receipt.rows,
        total("frames"),
        total("mean_squared_distance")
    ))
}
