//! The figures and curves of a training run, from its summary and its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chart::{Chart, Line};
use super::column::Column;
use super::error::ReportError;
use crate::probe::Probe;
use crate::record::Evaluation;

/// The contents of a run's `summary.json`.
#[derive(Deserialize)]
struct Summary {
    spent: Spent,
    loss: f64,
    validation: BTreeMap<String, f64>,
    parameters: u64,
}

#[derive(Deserialize)]
struct Spent {
    steps: u64,
    tokens: u64,
    seconds: f64,
}

/// A run for the report.
#[derive(Clone, Serialize)]
pub(super) struct Training {
    pub(super) steps: u64,
    pub(super) tokens: u64,
    pub(super) seconds: f64,
    pub(super) tokens_per_second: f64,
    pub(super) parameters: u64,
    pub(super) loss: f64,
    pub(super) validation: BTreeMap<String, f64>,
    /// The plan that was made when the first steps were measured, next to the actual values; empty if the
    /// run ended before.
    plan: Vec<Expectation>,
    /// How often the plan was made again.
    replanned: usize,
    charts: Vec<Chart>,
}

/// A figure of the plan, and the actual value.
#[derive(Clone, Serialize)]
struct Expectation {
    name: &'static str,
    planned: f64,
    happened: f64,
}

/// A full evaluation at a point of training.
pub(super) struct Point<'a> {
    pub(super) tokens: u64,
    pub(super) evaluation: &'a Evaluation,
}

/// A chart's title, its unit, and the metrics drawn together with their labels.
type Curves = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Curves of pre-training and of DPO.
const CURVES: [Curves; 5] = [
    ("Loss", "nats a token or pair", &[("loss", "training"), ("val_loss", "validation")]),
    ("Learning rate", "", &[("lr", "learning rate")]),
    ("Speed", "tokens a second", &[("tokens_per_second", "tokens a second")]),
    ("Pairs ranked right", "share", &[("accuracy", "training"), ("val_accuracy", "validation")]),
    ("Reward margin", "nats", &[("margin", "training"), ("val_margin", "validation")]),
];

fn read(folder: &Path, points: &[Point<'_>]) -> Result<Training, ReportError> {
    let (path, json) = text(folder, "summary.json")?;
    let summary: Summary =
        serde_json::from_str(&json).map_err(|source| ReportError::Summary { path, source })?;
    let lines = metrics(folder)?;
    let curve = |metric: &str| points_of(&lines, metric);
    let mut charts: Vec<Chart> = CURVES
        .iter()
        .filter_map(|(title, unit, metrics)| {
            let lines = metrics.iter().map(|(m, label)| Line::new(label, curve(m))).collect();
            Chart::new(title, unit, "tokens", lines)
        })
        .collect();
    charts.extend(scores_during(&lines, curve));
    charts.extend(scores_of_checkpoints(points));
    let (plan, replanned) = plans(folder, &summary);
    Ok(Training {
        steps: summary.spent.steps,
        tokens: summary.spent.tokens,
        seconds: summary.spent.seconds,
        tokens_per_second: summary.spent.tokens as f64 / summary.spent.seconds.max(1e-9),
        parameters: summary.parameters,
        loss: summary.loss,
        validation: summary.validation,
        plan,
        replanned,
        charts,
    })
}

fn text(folder: &Path, name: &str) -> Result<(PathBuf, String), ReportError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

/// Returns the lines of a run's metrics. A line that a crash cut off is skipped; the others are read.
fn metrics(folder: &Path) -> Result<Vec<Value>, ReportError> {
    let (_, text) = text(folder, "metrics.jsonl")?;
    Ok(text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
}

fn points_of(lines: &[Value], metric: &str) -> Vec<(f64, f64)> {
    let point = |v: &Value| Some((v["tokens"].as_f64()?, v[metric].as_f64()?));
    lines.iter().filter_map(point).collect()
}

/// Returns a metric of a run over tokens.
pub(super) fn curve(folder: &Path, metric: &str) -> Result<Vec<(f64, f64)>, ReportError> {
    Ok(points_of(&metrics(folder)?, metric))
}

/// Draws the scores of a few pairs of each suite, at each validation.
fn scores_during(lines: &[Value], curve: impl Fn(&str) -> Vec<(f64, f64)>) -> Option<Chart> {
    let names = lines.iter().filter_map(Value::as_object).flat_map(|l| l.keys());
    let names: BTreeSet<&String> = names.filter(|n| n.starts_with(Probe::METRIC)).collect();
    let percent =
        |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x, 100.0 * y)).collect();
    let lines = names
        .into_iter()
        .map(|name| Line::new(name.trim_start_matches(Probe::METRIC), percent(curve(name))))
        .collect();
    Chart::new("Scores during training, of a few pairs", "percent", "tokens", lines)
}

/// Draws the scores of whole suites, at each checkpoint that was scored.
fn scores_of_checkpoints(points: &[Point<'_>]) -> Option<Chart> {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for point in points {
        for suite in &point.evaluation.suites {
            let place = (point.tokens as f64, 100.0 * suite.all.share);
            lines.entry(&suite.suite).or_default().push(place);
        }
    }
    let lines = lines.into_iter().map(|(suite, mut points)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line::new(suite, points)
    });
    Chart::new("Scores of checkpoints, of all pairs", "percent", "tokens", lines.collect())
}

/// Returns the first plan next to the actual values, and how many plans followed it.
fn plans(folder: &Path, summary: &Summary) -> (Vec<Expectation>, usize) {
    let text = fs::read_to_string(folder.join("plans.jsonl")).unwrap_or_default();
    let plans: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let Some(first) = plans.first() else { return (vec![], 0) };
    let spent = &summary.spent;
    let speed = spent.tokens as f64 / spent.seconds.max(1e-9);
    let rows = [
        ("tokens", "tokens", spent.tokens as f64),
        ("steps", "steps", spent.steps as f64),
        ("seconds", "seconds", spent.seconds),
        ("tokens a second", "tokens_per_second", speed),
    ];
    let rows = rows.into_iter().filter_map(|(name, field, happened)| {
        Some(Expectation { name, planned: first[field].as_f64()?, happened })
    });
    (rows.collect(), plans.len() - 1)
}

/// Reads a stage of the run: its own files, and the scores of its checkpoints.
pub(super) fn stage(
    folder: Option<&Path>,
    intermediate: &[PathBuf],
    columns: &[Column],
) -> Result<Option<Training>, ReportError> {
    let Some(folder) = folder else { return Ok(None) };
    let intermediate =
        intermediate.iter().map(|p| Evaluation::read(p)).collect::<Result<Vec<_>, _>>()?;
    let own = columns.iter().map(|c| &c.evaluation);
    let points: Vec<Point<'_>> = own
        .filter(|e| e.checkpoint.starts_with(folder))
        .chain(&intermediate)
        .filter_map(|e| Some(Point { tokens: e.trained_tokens?, evaluation: e }))
        .collect();
    read(folder, &points).map(Some)
}
