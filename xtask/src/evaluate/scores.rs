//! Tables of scores that are there: any scores shard again, and other people's submissions.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::{Value, json};
use slam_pipeline::Pipeline;
use slam_pipeline::run::RunStep;

use crate::prepare_data::Common;
use crate::steps::Runner;
use crate::worker::Programs;

/// Which tables, and how.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Tables of scores shards again, without the model; of several, each is compared with the first
    #[arg(long, value_name = "SCORES", num_args = 1.., conflicts_with_all = ["target", "score"])]
    pub(super) from: Vec<PathBuf>,
    /// The shards of --from are one recipe under several seeds: their spread
    #[arg(long, requires = "from")]
    pub(super) seeds: bool,
    /// Score a file of a ZeroSpeech submission (lines "<file> <score>"), or a submission's folder
    #[arg(long, value_name = "SUBMISSION", requires = "gold", conflicts_with = "target")]
    pub(super) score: Option<PathBuf>,
    /// With --score: the gold.csv of the file, or the data set's folder of a folder
    #[arg(long, value_name = "GOLD", requires = "score")]
    pub(super) gold: Option<PathBuf>,
    /// Write the scores as a ZeroSpeech submission: lexical/, syntactic/, meta.yaml
    #[arg(long, value_name = "DIR", conflicts_with_all = ["score", "seeds"])]
    pub(super) submission: Option<PathBuf>,
    /// GenPPL and Auto-BLEU of continuations that `generate --out FILE` wrote
    #[arg(long, value_name = "FILE", requires = "services", conflicts_with_all = ["target", "score", "from"])]
    pub(super) generations: Option<PathBuf>,
    /// With --generations: a TOML file with vocoder, [transcription] and [completion] (see docs/evaluation.md)
    #[arg(long, value_name = "FILE", requires = "generations")]
    pub(super) services: Option<PathBuf>,
}

impl Options {
    /// Whether the scores are there already.
    pub(super) fn needs_no_model(&self) -> bool {
        !self.from.is_empty() || self.score.is_some() || self.generations.is_some()
    }
}

/// Prints the tables that `--from` or `--score` ask for.
pub(super) fn print(
    options: &Options,
    convention: Option<&str>,
    out: Option<&Path>,
    common: &Common,
) -> anyhow::Result<()> {
    if let (Some(generations), Some(services)) = (&options.generations, &options.services) {
        let out = out.map_or_else(|| generations.with_extension("measured.jsonl"), Path::to_owned);
        let services = read_services(services)?;
        return carry_out(
            json!({
                "what": "generations",
                "generations": generations,
                "services": services,
                "out": out,
            }),
            common,
        );
    }
    let request = match (&options.score, &options.gold) {
        (Some(submission), Some(gold)) => json!({
            "what": "submission",
            "submission": submission,
            "gold": gold,
            "convention": convention,
            "out": out,
        }),
        _ => shards(&options.from, convention, options, &Value::Null),
    };
    carry_out(request, common)
}

fn read_services(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is no TOML file", path.display()))
}

/// Prints the tables of some scores shards that were just made.
pub(super) fn print_made(
    scores: &[PathBuf],
    pipeline: &Pipeline,
    convention: Option<&str>,
    options: &Options,
    common: &Common,
) -> anyhow::Result<()> {
    carry_out(shards(scores, convention, options, &meta(pipeline)), common)
}

fn shards(scores: &[PathBuf], convention: Option<&str>, options: &Options, meta: &Value) -> Value {
    let mut request = json!({
        "what": "shards",
        "scores": scores,
        "convention": convention,
        "seeds": options.seeds,
        "submission": options.submission,
        "meta": {"publication_year": this_year()},
    });
    if meta.is_object() {
        request["meta"] = meta.clone();
    }
    request
}

/// What a pipeline says of the fields of a submission's `meta.yaml`.
fn meta(pipeline: &Pipeline) -> Value {
    let train: Vec<&str> =
        pipeline.train.iter().flat_map(|t| &t.datasets).map(String::as_str).collect();
    let family = pipeline.model["model_type"].as_str().unwrap_or("decoder");
    json!({
        "system_description": format!(
            "pipeline {}: units of {}, a unit language model of the {family} family",
            pipeline.name, pipeline.tokeniser.name
        ),
        "train_set": train.join(", "),
        "publication_year": this_year(),
    })
}

fn this_year() -> u32 {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('-').next().and_then(|year| year.parse().ok()).unwrap_or_default()
}

fn carry_out(request: Value, common: &Common) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("slam-scores-{}", std::process::id()));
    let runner = Runner {
        worker: Programs::worker_alone("cpu")?.slam,
        device: "cpu".into(),
        run: folder.clone(),
        json: common.json,
        resume: "the same command".into(),
    };
    let step = RunStep { name: "scores".into(), command: "scores", request };
    let result = runner.run(&step);
    let _ = std::fs::remove_dir_all(folder);
    println!("{}", result?.text);
    Ok(())
}
