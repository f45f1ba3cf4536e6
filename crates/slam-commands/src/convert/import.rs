//! `import`: checkpoints and units of other programs.

use std::path::PathBuf;

use anyhow::Context as _;
use slam_recipe::params::ImportParams;
use slam_recipe::request::{CheckpointForm, ConvertRequest};
use slam_recipe::work::Input;
use slam_recipe::{Key, ShardName, Stage, Work, WorkUnit};

use super::request::{checkpoint_request, convert};
use crate::exit::Failure;
use crate::options::Common;

/// Read checkpoints and units of other programs.
#[derive(clap::Args)]
pub struct Arguments {
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

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
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
