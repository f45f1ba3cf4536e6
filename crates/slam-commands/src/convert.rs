//! `export` and `import`: checkpoints and units in the forms of other programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use slam_pipeline::RunStep;
use slam_recipe::event::Outcome;
use slam_recipe::params::ImportParams;
use slam_recipe::request::{CheckpointForm, ConvertRequest, UnitsForm};
use slam_recipe::work::Input;
use slam_recipe::{Key, Request, ShardName, Stage, Work, WorkUnit};

use crate::exit::Failure;
use crate::options::Common;
use crate::programs::Programs;
use crate::steps::Runner;

/// Write checkpoints and units in the forms of other programs.
#[derive(clap::Args)]
pub struct Export {
    #[command(subcommand)]
    form: ExportForm,
}

#[derive(clap::Subcommand)]
enum ExportForm {
    /// A checkpoint for transformers' AutoModelForCausalLM, with tokenizer and model card
    Hf {
        /// The checkpoint's folder
        checkpoint: PathBuf,
        /// The folder to write
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// A checkpoint for slamkit's UnitLM, or a unit dataset as slamkit's JSON lines
    Slamkit {
        /// A checkpoint's folder, or a dataset's name
        source: PathBuf,
        /// The folder or file to write
        #[arg(long)]
        out: PathBuf,
        /// Of a dataset: tokens (<Un3><Un49>…) in place of units with durations
        #[arg(long)]
        tokens: bool,
        /// Of a dataset: the tokeniser's name [default: the only one there is]
        #[arg(long)]
        tokeniser: Option<String>,
        /// The data root
        #[arg(long, default_value = "data")]
        data: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

/// Read checkpoints and units of other programs.
#[derive(clap::Args)]
pub struct Import {
    #[command(subcommand)]
    form: ImportForm,
}

#[derive(clap::Subcommand)]
enum ImportForm {
    /// A text model of Hugging Face as the start of a unit model (TWIST)
    Hf {
        /// The text model's folder: config.json and safetensors or torch weights
        text_model: PathBuf,
        /// The folder to write
        #[arg(long)]
        out: PathBuf,
        /// Units of the vocabulary
        #[arg(long, default_value_t = 500)]
        units: usize,
        /// Base of the rotary frequencies [default: the text model's]
        #[arg(long)]
        rope_theta: Option<f64>,
        /// Positions [default: the text model's]
        #[arg(long)]
        max_positions: Option<usize>,
        /// Whether the output head is the embedding [default: as in the text model]
        #[arg(long)]
        tie_embeddings: Option<bool>,
        /// Tensors that may be missing, unexpected or of another shape (NAME or START*)
        #[arg(long, value_delimiter = ',')]
        allow: Vec<String>,
        /// The seed of what the text model does not have
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        common: Common,
    },
    /// A checkpoint of slamkit (or of TWIST, slm_scaling, transformers), or slamkit's JSON lines as a
    /// unit dataset
    Slamkit {
        /// A checkpoint's folder, or a file of JSON lines
        source: PathBuf,
        /// Of a checkpoint: the folder to write
        #[arg(long)]
        out: Option<PathBuf>,
        /// Of a checkpoint: tensors that may be missing, unexpected or of another shape
        #[arg(long, value_delimiter = ',')]
        allow: Vec<String>,
        /// Of JSON lines: the dataset's name
        #[arg(long)]
        dataset: Option<String>,
        /// Of JSON lines: the name of the tokeniser that made them
        #[arg(long, default_value = "hubert-25hz")]
        tokeniser: String,
        /// Of JSON lines: how many units the tokeniser has
        #[arg(long, default_value_t = 500)]
        k: u32,
        /// Of JSON lines: the tokeniser's frames a second
        #[arg(long, default_value_t = 25.0)]
        units_per_second: f64,
        /// Of JSON lines: the split of the rows
        #[arg(long, default_value = "train")]
        split: String,
        /// The data root
        #[arg(long, default_value = "data")]
        data: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

pub(crate) fn export(arguments: &Export) -> anyhow::Result<()> {
    match &arguments.form {
        ExportForm::Hf { checkpoint, out, common } => {
            let form = CheckpointForm::HuggingFace;
            convert("export", checkpoint_request(checkpoint, out, form, &[]), common)
        }
        ExportForm::Slamkit { source, out, common, .. } if source.join("config.json").is_file() => {
            let form = CheckpointForm::Slamkit;
            convert("export", checkpoint_request(source, out, form, &[]), common)
        }
        ExportForm::Slamkit { source, out, tokens, tokeniser, data, common } => {
            let shards = unit_shards(&data.join(source), tokeniser.as_deref())?;
            let form = if *tokens { UnitsForm::Tokens } else { UnitsForm::Features };
            convert("export", ConvertRequest::Units { shards, form, out: out.clone() }, common)
        }
    }
}

pub(crate) fn import(arguments: &Import) -> anyhow::Result<()> {
    match &arguments.form {
        ImportForm::Hf {
            text_model,
            out,
            units,
            rope_theta,
            max_positions,
            tie_embeddings,
            allow,
            seed,
            common,
        } => {
            let request = ConvertRequest::Twist {
                text_model: text_model.clone(),
                out: out.clone(),
                units: *units,
                rope_theta: *rope_theta,
                max_positions: *max_positions,
                tie_embeddings: *tie_embeddings,
                allow: allow.clone(),
                seed: *seed,
            };
            convert("import", request, common)
        }
        ImportForm::Slamkit { source, out, allow, common, .. } if source.is_dir() => {
            let out = out.as_ref().ok_or_else(|| {
                Failure::Usage("a checkpoint needs --out, the folder to write".into())
            })?;
            let form = CheckpointForm::Slamkit;
            convert("import", checkpoint_request(source, out, form, allow), common)
        }
        ImportForm::Slamkit {
            source,
            dataset,
            tokeniser,
            k,
            units_per_second,
            split,
            data,
            common,
            ..
        } => {
            let dataset = dataset.as_ref().ok_or_else(|| {
                Failure::Usage("JSON lines need --dataset, a name for what they hold".into())
            })?;
            let key = Key::of_file(source)
                .with_context(|| format!("failed to read {}", source.display()))?;
            let shard = ShardName::new(0, 1);
            let params = ImportParams {
                tokeniser: tokeniser.clone(),
                k: *k,
                units_per_second: *units_per_second,
                split: split.clone(),
            };
            let stage = Stage::Unitise;
            let folder = PathBuf::from(dataset).join(stage.folder()).join(tokeniser);
            let unit = WorkUnit::new(
                Work::ImportUnits(params),
                shard,
                vec![Input { path: std::path::absolute(source)?, key }],
                folder.join(format!("{shard}.{}", stage.extension())),
            );
            let request = ConvertRequest::Lines { unit: Box::new(unit), root: data.clone() };
            convert("import", request, common)
        }
    }
}

fn checkpoint_request(
    checkpoint: &Path,
    out: &Path,
    form: CheckpointForm,
    allow: &[String],
) -> ConvertRequest {
    let (checkpoint, out) = (checkpoint.to_owned(), out.to_owned());
    ConvertRequest::Checkpoint { checkpoint, out, form, allow: allow.to_vec() }
}

fn convert(name: &str, request: ConvertRequest, common: &Common) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let runner = Runner {
        worker: Programs::worker_alone(&common.device)?.slam,
        device: common.device.clone(),
        run: folder.path().to_owned(),
        events: common.events(),
        resume: "the same command".into(),
    };
    let step = RunStep { name: name.into(), request: Request::Convert(request) };
    if let Outcome::Made(sentence) = runner.run(&step)? {
        crate::out::say!("{sentence}");
    }
    Ok(())
}

/// The unit shards of a dataset.
fn unit_shards(dataset: &Path, tokeniser: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let folder = dataset.join(Stage::Unitise.folder());
    let list = |path: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let mut found = fs::read_dir(path)
            .with_context(|| format!("there are no units in {}", path.display()))?
            .map(|e| Ok(e?.path()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        found.sort();
        Ok(found)
    };
    let folder = match tokeniser {
        Some(name) => folder.join(name),
        None => match &list(&folder)?[..] {
            [only] => only.clone(),
            several => {
                let names: Vec<_> =
                    several.iter().filter_map(|p| p.file_name()?.to_str()).collect();
                let message = format!(
                    "there are several tokenisers: choose one of {} with --tokeniser",
                    names.join(", ")
                );
                return Err(Failure::Usage(message).into());
            }
        },
    };
    let shards: Vec<PathBuf> = list(&folder)?
        .into_iter()
        .filter(|p| {
            let stem = p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            stem.parse::<ShardName>().is_ok() && p.extension().is_some_and(|e| e == "parquet")
        })
        .collect();
    if shards.is_empty() {
        bail!("there are no unit shards in {}", folder.display());
    }
    Ok(shards)
}
