//! Tables of scores that are there: any scores shard again, and other people's submissions.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use slam_recipe::device::{DeviceSpec, Devices};
use slam_recipe::evaluation::{Convention, Services, SubmissionMeta};
use slam_recipe::event::Outcome;
use slam_recipe::request::{Relation, ScoresRequest};
use slam_recipe::{Pipeline, Request};

use crate::options::Common;
use crate::programs::Programs;
use crate::steps;

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
    convention: Option<Convention>,
    out: Option<&Path>,
    common: &Common,
) -> anyhow::Result<()> {
    if let (Some(generations), Some(services)) = (&options.generations, &options.services) {
        let out = out.map_or_else(|| generations.with_extension("measured.jsonl"), Path::to_owned);
        let services = read_services(services)?;
        let generations = generations.clone();
        return carry_out(ScoresRequest::Generations { generations, services, out }, common);
    }
    let request = if let (Some(submission), Some(gold)) = (&options.score, &options.gold) {
        ScoresRequest::Submission {
            submission: submission.clone(),
            gold: gold.clone(),
            convention,
            out: out.map(Path::to_owned),
        }
    } else {
        let meta = SubmissionMeta { publication_year: this_year(), ..SubmissionMeta::default() };
        shards(&options.from, convention, options, meta)
    };
    carry_out(request, common)
}

fn read_services(path: &Path) -> anyhow::Result<Services> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} names no services", path.display()))
}

/// Prints the tables of some scores shards that were just made.
pub(super) fn print_made(
    scores: &[PathBuf],
    pipeline: &Pipeline,
    options: &Options,
    common: &Common,
) -> anyhow::Result<()> {
    let convention = convention_of(pipeline);
    carry_out(shards(scores, convention, options, meta(pipeline)), common)
}

fn shards(
    scores: &[PathBuf],
    convention: Option<Convention>,
    options: &Options,
    meta: SubmissionMeta,
) -> ScoresRequest {
    ScoresRequest::Shards {
        scores: scores.to_vec(),
        convention,
        relation: if options.seeds { Relation::Seeds } else { Relation::Models },
        submission: options.submission.clone(),
        meta,
    }
}

/// What a pipeline says of the fields of a submission's `meta.yaml`.
fn meta(pipeline: &Pipeline) -> SubmissionMeta {
    let train: Vec<&str> =
        pipeline.train.iter().flat_map(|t| &t.datasets).map(String::as_str).collect();
    let family = pipeline.model.config.get("model_type").and_then(|v| v.as_str());
    SubmissionMeta {
        system_description: format!(
            "pipeline {}: units of {}, a unit language model of the {} family",
            pipeline.name,
            pipeline.tokeniser.name,
            family.unwrap_or("decoder")
        ),
        train_set: train.join(", "),
        publication_year: this_year(),
        ..SubmissionMeta::default()
    }
}

fn this_year() -> u32 {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('-').next().and_then(|year| year.parse().ok()).unwrap_or_default()
}

fn carry_out(request: ScoresRequest, common: &Common) -> anyhow::Result<()> {
    let cpu = Devices::from(DeviceSpec::Cpu);
    let worker = Programs::worker_on_cpu()?.slam;
    let request = Request::Scores(request);
    let Outcome::Table(table) = steps::once(worker, &cpu, common.events(), "scores", request)?
    else {
        bail!("the worker made no table")
    };
    crate::out::say!("{table}");
    Ok(())
}

/// The convention of a pipeline; none where each suite has its own.
pub(super) fn convention_of(pipeline: &Pipeline) -> Option<Convention> {
    pipeline.evaluate.as_ref()?.params.convention
}
