//! Training runs and evaluations.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use slam_eval::aggregate::{Accuracy, SuiteScore};
use slam_eval::{Evaluation, Probe, report};
use slam_lm::Decoder;
use slam_nn::device::{Device, DeviceSpec, open};
use slam_recipe::Event;
use slam_recipe::device::Devices;
use slam_recipe::evaluation::ProbeRequest;
use slam_recipe::event::Outcome;
use slam_recipe::request::{
    CompareRequest, DpoRequest, EvaluateRequest, PretrainRequest, ReportRequest,
};
use slam_train::plan::clock;
use slam_train::pretrain::Start;
use slam_train::{Ended, Mode, Plan, Report, RunContext, TrainError, Update};

use crate::exit::Interrupted;

/// Pre-trains.
pub(crate) fn pretrain(request: &PretrainRequest, devices: &Devices) -> anyhow::Result<Outcome> {
    crate::check::model(&request.model)?;
    let start = start_of(request)?;
    let shards = request.datasets.iter().flat_map(|d| &d.shards);
    let probe = probe(request.suites.as_ref(), shards)?;
    train("pretrain", &request.run, devices, probe.as_ref(), |context| {
        let PretrainRequest { params, datasets, data_key, .. } = request;
        slam_train::pretrain::pretrain(params, &start, datasets, data_key, context)
    })
}

/// Measures the first steps of pre-training and tells the plan; the run's folder is not touched.
pub(crate) fn plan_pretrain(
    request: &PretrainRequest,
    devices: &Devices,
) -> anyhow::Result<Outcome> {
    crate::check::model(&request.model)?;
    let devices = open_all(devices)?;
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let tell = |update: &Update| tell("plan", update);
    let context = RunContext::new(folder.path(), &devices[0], slam_interrupt::flag(), &tell);
    let context = RunContext { mode: Mode::Plan, others: &devices[1..], ..context };
    let PretrainRequest { params, datasets, data_key, .. } = request;
    let start = start_of(request)?;
    match slam_train::pretrain::pretrain(params, &start, datasets, data_key, &context) {
        Ok(ended) => Ok(outcome(&ended)),
        Err(TrainError::Interrupted { .. }) => Err(Interrupted.into()),
        Err(e) => Err(e.into()),
    }
}

/// How a run ended.
fn outcome(ended: &Ended) -> Outcome {
    let summary = match ended {
        Ended::Planned(plan) => return Outcome::Table(plan.to_string()),
        Ended::Trained(summary) if summary.was_done => return Outcome::UpToDate,
        Ended::Trained(summary) => summary,
    };
    let validation = summary.validation.get("val_loss");
    Outcome::Made(format!(
        "{} steps, {:.2} M tokens, {:.0} s, loss {:.3}{}",
        summary.spent.steps,
        summary.spent.tokens as f64 / 1e6,
        summary.spent.seconds,
        summary.loss,
        validation.map_or(String::new(), |l| format!(", validation loss {l:.3}"))
    ))
}

fn start_of(request: &PretrainRequest) -> anyhow::Result<Start> {
    let model = &request.model;
    match (&model.checkpoint, &request.start_key) {
        (Some(folder), Some(key)) => {
            Ok(Start::Checkpoint { folder: folder.clone(), key: key.clone() })
        }
        (None, _) => Ok(Start::Random(Value::Object(model.config.clone()))),
        (Some(folder), None) => anyhow::bail!(
            "the request does not say what {} holds; plan the run again",
            folder.display()
        ),
    }
}

/// Optimises preferences.
pub(crate) fn dpo(request: &DpoRequest, devices: &Devices) -> anyhow::Result<Outcome> {
    let probe = probe(request.suites.as_ref(), request.shards.iter())?;
    train("dpo", &request.run, devices, probe.as_ref(), |context| {
        let DpoRequest { params, policy, shards, data_key, .. } = request;
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
    devices: &Devices,
    probe: Option<&Probe>,
    work: impl FnOnce(&RunContext<'_>) -> Result<Ended, TrainError>,
) -> anyhow::Result<Outcome> {
    let devices = open_all(devices)?;
    fs::create_dir_all(run).with_context(|| format!("failed to make {}", run.display()))?;
    let tell = |update: &Update| {
        if let Update::Plan(plan) = update {
            keep_plan(run, plan);
        }
        tell(task, update);
    };
    let context = RunContext::new(run, &devices[0], slam_interrupt::flag(), &tell);
    let mut context = RunContext { others: &devices[1..], ..context };
    let score =
        |model: &Decoder| probe.map_or(Ok(BTreeMap::new()), |p| p.score(model).map_err(Into::into));
    context.probe = Some(&score);
    match work(&context) {
        Ok(ended) => Ok(outcome(&ended)),
        Err(TrainError::Interrupted { step }) => {
            eprintln!("interrupted at step {step}; the state is saved");
            Err(Interrupted.into())
        }
        Err(e) => Err(e.into()),
    }
}

/// Opens every device; the first one holds the weights.
fn open_all(devices: &Devices) -> anyhow::Result<Vec<Device>> {
    Ok(devices.all().map(open).collect::<Result<_, _>>()?)
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

/// Scores a checkpoint; scores that are there for the same content are kept.
pub(crate) fn evaluate(request: &EvaluateRequest, device: DeviceSpec) -> anyhow::Result<Outcome> {
    let device = open(device)?;
    let tokeniser = slam_train::tokeniser_of_model(&request.checkpoint)?;
    let evaluation = Evaluation::score(
        &request.checkpoint,
        tokeniser.as_ref(),
        &request.shards,
        request.convention,
        &device,
        &request.out,
    )?;
    if evaluation.was_done {
        return Ok(Outcome::UpToDate);
    }
    let suite = |s: &SuiteScore| {
        let Accuracy { share, low, high, .. } = s.all;
        format!("{} {share:.3} [{low:.3}, {high:.3}]", s.suite)
    };
    Ok(Outcome::Made(evaluation.suites.iter().map(suite).collect::<Vec<_>>().join(", ")))
}

/// Writes a run's report; its table is the result.
pub(crate) fn report(request: &ReportRequest) -> anyhow::Result<Outcome> {
    Ok(Outcome::Table(report::report(request)?))
}

/// Writes a comparison of runs; its differences are the result.
pub(crate) fn compare(request: &CompareRequest) -> anyhow::Result<Outcome> {
    Ok(Outcome::Table(report::compare(request)?))
}
