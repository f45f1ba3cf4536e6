//! Training runs and evaluations: reads a request file, carries it out, says what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use slam_dataset::{Event, Key};
use slam_eval::aggregate::{Accuracy, Convention, SuiteScore};
use slam_eval::report::{self, CompareRequest, ReportRequest};
use slam_eval::{Evaluation, Probe, ProbeRequest};
use slam_lm::Decoder;
use slam_nn::device::{Device, DeviceSpec};
use slam_train::data::UnitShards;
use slam_train::dpo::DpoConfig;
use slam_train::plan::clock;
use slam_train::pretrain::{PretrainConfig, Start};
use slam_train::{Ended, Mode, Plan, Report, RunContext, TrainError, Update};

use crate::exit::Interrupted;
use crate::signals;

/// The result of a step that had nothing to do.
const UP_TO_DATE: &str = "up to date";

/// A run of pre-training.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PretrainRequest {
    params: PretrainConfig,
    /// A Hugging Face configuration for random weights; with a `checkpoint`, the folder of the weights, and
    /// what of its configuration the pipeline states.
    pub(crate) model: Value,
    datasets: Vec<UnitShards>,
    data_key: Key,
    run: PathBuf,
    /// Suites to score at each validation.
    #[serde(default)]
    suites: Option<ProbeRequest>,
}

/// A run of preference optimisation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DpoRequest {
    params: DpoConfig,
    policy: PathBuf,
    shards: Vec<PathBuf>,
    data_key: Key,
    run: PathBuf,
    /// Suites to score at each validation.
    #[serde(default)]
    suites: Option<ProbeRequest>,
}

/// Scores of one checkpoint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateRequest {
    checkpoint: PathBuf,
    shards: Vec<PathBuf>,
    /// How pairs are compared; where it is missing, as each suite's published scores do.
    #[serde(default)]
    convention: Option<Convention>,
    /// Where the scores shard goes; a summary is written beside it as `.json`.
    out: PathBuf,
}

/// Reads a request file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no request", path.display()))
}

/// Pre-trains as a request file says.
pub(crate) fn pretrain(request: &Path, device: &str) -> anyhow::Result<()> {
    let request: PretrainRequest = read(request)?;
    crate::check::model(&request.model)?;
    let start = start_of(&request);
    let shards = request.datasets.iter().flat_map(|d| &d.shards);
    let probe = probe(request.suites.as_ref(), shards)?;
    train("pretrain", &request.run, device, probe.as_ref(), |context| {
        let PretrainRequest { params, datasets, data_key, .. } = &request;
        slam_train::pretrain::pretrain(params, &start, datasets, data_key, context)
    })
}

/// Measures the first steps of what a request file says and tells the plan; the run's folder is not touched.
pub(crate) fn plan_pretrain(request: &Path, device: &str) -> anyhow::Result<()> {
    let request: PretrainRequest = read(request)?;
    crate::check::model(&request.model)?;
    let devices = open(device)?;
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let tell = |update: &Update| tell("plan", update);
    let context = RunContext::new(folder.path(), &devices[0], signals::flag(), &tell);
    let context = RunContext { mode: Mode::Plan, others: &devices[1..], ..context };
    let PretrainRequest { params, datasets, data_key, .. } = &request;
    match slam_train::pretrain::pretrain(params, &start_of(&request), datasets, data_key, &context)
    {
        Ok(ended) => {
            Event::Result { text: result(&ended) }.print();
            Ok(())
        }
        Err(TrainError::Interrupted { .. }) => Err(Interrupted.into()),
        Err(e) => Err(e.into()),
    }
}

/// How a run ended, in a line.
fn result(ended: &Ended) -> String {
    let summary = match ended {
        Ended::Planned(plan) => return plan.to_string(),
        Ended::Trained(summary) if summary.was_done => return UP_TO_DATE.to_owned(),
        Ended::Trained(summary) => summary,
    };
    let validation = summary.validation.get("val_loss");
    format!(
        "{} steps, {:.2} M tokens, {:.0} s, loss {:.3}{}",
        summary.spent.steps,
        summary.spent.tokens as f64 / 1e6,
        summary.spent.seconds,
        summary.loss,
        validation.map_or(String::new(), |l| format!(", validation loss {l:.3}"))
    )
}

fn start_of(request: &PretrainRequest) -> Start {
    match request.model.get("checkpoint").and_then(Value::as_str) {
        Some(path) => Start::Checkpoint(path.into()),
        None => Start::Random(request.model.clone()),
    }
}

/// Optimises preferences as a request file says.
pub(crate) fn dpo(request: &Path, device: &str) -> anyhow::Result<()> {
    let request: DpoRequest = read(request)?;
    let probe = probe(request.suites.as_ref(), request.shards.iter())?;
    train("dpo", &request.run, device, probe.as_ref(), |context| {
        let DpoRequest { params, policy, shards, data_key, .. } = &request;
        slam_train::dpo::dpo(params, policy, shards, data_key, context)
    })
}

/// The pairs that are scored during training on these shards.
fn probe<'a>(
    suites: Option<&ProbeRequest>,
    mut shards: impl Iterator<Item = &'a PathBuf>,
) -> anyhow::Result<Option<Probe>> {
    let suites = suites.filter(|s| !s.shards.is_empty());
    Ok(suites.map(|s| Probe::open(s, shards.next())).transpose()?)
}

fn train(
    task: &str,
    run: &Path,
    device: &str,
    probe: Option<&Probe>,
    work: impl FnOnce(&RunContext<'_>) -> Result<Ended, TrainError>,
) -> anyhow::Result<()> {
    let devices = open(device)?;
    fs::create_dir_all(run).with_context(|| format!("failed to make {}", run.display()))?;
    let tell = |update: &Update| {
        if let Update::Plan(plan) = update {
            keep_plan(run, plan);
        }
        tell(task, update);
    };
    let context = RunContext::new(run, &devices[0], signals::flag(), &tell);
    let mut context = RunContext { others: &devices[1..], ..context };
    let score =
        |model: &Decoder| probe.map_or(Ok(BTreeMap::new()), |p| p.score(model).map_err(Into::into));
    context.probe = Some(&score);
    match work(&context) {
        Ok(ended) => {
            Event::Result { text: result(&ended) }.print();
            Ok(())
        }
        Err(TrainError::Interrupted { step }) => {
            eprintln!("interrupted at step {step}; the state is saved");
            Err(Interrupted.into())
        }
        Err(e) => Err(e.into()),
    }
}

/// Opens every device of a list such as `cuda:0,cuda:1`; the first one holds the weights.
fn open(names: &str) -> anyhow::Result<Vec<Device>> {
    let one =
        |name: &str| -> anyhow::Result<Device> { Ok(name.trim().parse::<DeviceSpec>()?.open()?) };
    names.split(',').map(one).collect()
}

/// Keeps a plan for the report, which holds it against what happened. A disk that refuses it ends no run.
fn keep_plan(run: &Path, plan: &Plan) {
    let path = run.join("plans.jsonl");
    let line = serde_json::to_string(plan).unwrap_or_default();
    let written = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{line}"));
    if let Err(e) = written {
        tracing::warn!("failed to write {}: {e}", path.display());
    }
}

/// Passes a run's news on.
fn tell(task: &str, update: &Update) {
    match update {
        Update::Progress(r) => Event::Progress {
            task: task.to_owned(),
            done: (100.0 * r.progress).min(100.0),
            total: 100.0,
            unit: "%".to_owned(),
            message: message(r),
        },
        Update::Plan(plan) => Event::Note { text: format!("{task}: expecting {plan}") },
        Update::Note(text) => Event::Note { text: format!("{task}: {text}") },
    }
    .print();
}

fn message(r: &Report) -> String {
    let validation =
        r.validation_loss.map_or(String::new(), |l| format!(", validation loss {l:.3}"));
    let left = r.seconds_left.map_or(String::new(), |s| format!(", {} left", clock(s)));
    format!(
        "step {}, loss {:.3}{validation}, lr {:.1e}, {:.1} k tokens/s ({:.0} % of peak), {} used{left}",
        r.spent.steps,
        r.loss,
        r.lr,
        r.tokens_per_second / 1000.0,
        100.0 * r.peak_share,
        clock(r.spent.seconds),
    )
}

/// Scores a checkpoint as a request file says; scores that are there for the same content are kept.
pub(crate) fn evaluate(request: &Path, device: &str) -> anyhow::Result<()> {
    let request: EvaluateRequest = read(request)?;
    let device = device.parse::<DeviceSpec>()?.open()?;
    let tokeniser = slam_train::tokeniser_of_model(&request.checkpoint)?;
    let evaluation = Evaluation::of(
        &request.checkpoint,
        tokeniser.as_ref(),
        &request.shards,
        request.convention,
        &device,
        &request.out,
    )?;
    let text = if evaluation.was_done {
        UP_TO_DATE.to_owned()
    } else {
        let suite = |s: &SuiteScore| {
            let Accuracy { share, low, high, .. } = s.all;
            format!("{} {share:.3} [{low:.3}, {high:.3}]", s.suite)
        };
        evaluation.suites.iter().map(suite).collect::<Vec<_>>().join(", ")
    };
    Event::Result { text }.print();
    Ok(())
}

/// Writes the report that a request file asks for; its table is the result.
pub(crate) fn report(request: &Path) -> anyhow::Result<()> {
    let request: ReportRequest = read(request)?;
    Event::Result { text: report::report(&request)? }.print();
    Ok(())
}

/// Writes the comparison of runs that a request file asks for; its differences are the result.
pub(crate) fn compare(request: &Path) -> anyhow::Result<()> {
    let request: CompareRequest = read(request)?;
    Event::Result { text: report::compare(&request)? }.print();
    Ok(())
}
