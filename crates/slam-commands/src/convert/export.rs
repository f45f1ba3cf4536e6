//! `export`: checkpoints and units in the forms of other programs.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use slam_recipe::lock::{Lock, LockError, Shard};
use slam_recipe::request::{CheckpointForm, ConvertRequest, UnitsForm};
use slam_recipe::{ShardName, Stage};

use super::request::{checkpoint_request, convert};
use crate::door::hint;
use crate::exit::Failure;
use crate::options::Common;
use crate::prepared::{not_made, quoted};

/// Write checkpoints and units in the forms of other programs.
#[derive(clap::Args)]
pub struct Arguments {
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

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
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
            let shards = unit_shards(data, source, tokeniser.as_deref())?;
            let form = if *tokens { UnitsForm::Tokens } else { UnitsForm::Features };
            convert("export", ConvertRequest::Units { shards, form, out: out.clone() }, common)
        }
    }
}

/// The unit shards of a dataset. The lock knows which there are; a dataset that was imported is not in it.
fn unit_shards(
    data: &Path,
    dataset: &Path,
    tokeniser: Option<&str>,
) -> anyhow::Result<Vec<PathBuf>> {
    // `./NAME/` is NAME.
    let dataset: PathBuf = dataset.components().filter(|c| *c != Component::CurDir).collect();
    let dataset = dataset.as_path();
    let lock = match Lock::read(data) {
        Ok(lock) => lock,
        Err(LockError::Missing { .. }) => Lock::default(),
        Err(e) => return Err(e.into()),
    };
    let folder = data.join(dataset).join(Stage::Unitise.folder());
    let known = lock.datasets.iter().filter(|d| Path::new(&d.dataset.name) == dataset);
    let mut tokenisers: Vec<String> = known.map(|d| d.tokeniser.name.clone()).collect();
    if tokenisers.is_empty() {
        tokenisers = names(&folder)?;
    }
    let tokeniser = match (tokeniser, &tokenisers[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, several) => {
            let message = format!(
                "there are several tokenisers: choose one of {} with --tokeniser",
                several.join(", ")
            );
            return Err(Failure::Usage(message).into());
        }
    };
    let name = dataset.to_string_lossy();
    match lock.dataset(&name, tokeniser) {
        Some(locked) => all_made(data, &name, locked.shards(Stage::Unitise)),
        None => listed(&folder.join(tokeniser)),
    }
}

/// The files of shards, all of which are there as the lock has them.
fn all_made(data: &Path, dataset: &str, shards: &[Shard]) -> anyhow::Result<Vec<PathBuf>> {
    let missing = not_made(data, shards);
    if let Some(first) = missing.first() {
        let (rebuild, dataset, data_root) =
            (hint("shards rebuild"), quoted(dataset), quoted(&data.to_string_lossy()));
        bail!(
            "{} of {} unit shards are missing or stale, the first {}; make them with `{rebuild} {dataset} --data \
             {data_root}` and the --pipeline, --quick and --set that made them",
            missing.len(),
            shards.len(),
            first.display()
        );
    }
    Ok(shards.iter().map(|s| data.join(&s.output)).collect())
}

/// The names of a folder's entries, sorted.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("there are no units in {}", folder.display()))?;
    let mut names = entries
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The unit shards in a folder.
fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_shard = |name: &String| {
        let stem = name.strip_suffix(".parquet");
        stem.is_some_and(|stem| stem.parse::<ShardName>().is_ok())
    };
    let shards: Vec<_> =
        names(folder)?.into_iter().filter(is_shard).map(|name| folder.join(name)).collect();
    if shards.is_empty() {
        bail!("there are no unit shards in {}", folder.display());
    }
    Ok(shards)
}
