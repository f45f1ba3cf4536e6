//! A training run's figures and curves, from its summary and its metrics.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ReportError;
use super::chart::{Chart, Line};

/// What a run's `summary.json` holds.
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
#[derive(Serialize)]
pub(super) struct Training {
    pub(super) steps: u64,
    pub(super) tokens: u64,
    pub(super) seconds: f64,
    pub(super) tokens_per_second: f64,
    pub(super) parameters: u64,
    pub(super) loss: f64,
    pub(super) validation: BTreeMap<String, f64>,
    charts: Vec<Chart>,
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

pub(super) fn read(folder: &Path) -> Result<Training, ReportError> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path)
            .map_err(|e| ReportError::Read { path: path.clone(), message: e.to_string() })
            .map(|text| (path, text))
    };
    let (path, json) = text("summary.json")?;
    let summary: Summary = serde_json::from_str(&json)
        .map_err(|e| ReportError::Read { path, message: e.to_string() })?;
    let (_, lines) = text("metrics.jsonl")?;
    // A line that was cut by a crash is no reason to refuse the rest.
    let lines: Vec<Value> = lines.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let points = |metric: &str| -> Vec<(f64, f64)> {
        let point = |v: &Value| Some((v["tokens"].as_f64()?, v[metric].as_f64()?));
        lines.iter().filter_map(point).collect()
    };
    let charts = CURVES
        .iter()
        .filter_map(|(title, unit, metrics)| {
            let lines = metrics.iter().map(|(m, label)| Line::new(label, points(m))).collect();
            Chart::of(title, unit, "tokens", lines)
        })
        .collect();
    Ok(Training {
        steps: summary.spent.steps,
        tokens: summary.spent.tokens,
        seconds: summary.spent.seconds,
        tokens_per_second: summary.spent.tokens as f64 / summary.spent.seconds.max(1e-9),
        parameters: summary.parameters,
        loss: summary.loss,
        validation: summary.validation,
        charts,
    })
}
