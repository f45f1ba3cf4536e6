//! Compares runs side by side: which settings differ, what each run achieved, and whether the scores differ
//! on the same items.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::context;
use serde::Serialize;
use serde_json::Value;

use super::chart::{Chart, Line};
use super::training::{self, Training};
use slam_recipe::request::{CompareRequest, ReportRequest};

use super::column::{self, Column};
use super::error::ReportError;
use super::page;
use crate::aggregate::{self, Accuracy, Comparison};
use crate::text;

/// A run and what is left of it.
struct Run<'a> {
    name: &'a str,
    request: &'a ReportRequest,
    pretrain: Option<Training>,
    dpo: Option<Training>,
    columns: Vec<Column>,
}

/// A row of a table: a name, and one value per run.
#[derive(Serialize)]
struct Row<T> {
    name: String,
    cells: Vec<T>,
}

/// A run's scores compared with those of the first run.
#[derive(Serialize)]
struct Difference {
    run: String,
    suite: String,
    pairs: usize,
    share: f64,
    low: f64,
    high: f64,
    clear: bool,
    won: usize,
    lost: usize,
    only_first: usize,
    only_second: usize,
}

/// Writes a page that compares runs by their last checkpoints, and returns its comparisons as text.
///
/// # Errors
/// Fails if something that a run should have left cannot be read, or if the page cannot be written.
pub fn compare(request: &CompareRequest) -> Result<String, ReportError> {
    let runs = request
        .runs
        .iter()
        .zip(&request.names)
        .map(|(r, name)| {
            Ok(Run {
                name,
                request: r,
                pretrain: training::stage(r.pretrain.as_deref(), &[], &[])?,
                dpo: training::stage(r.dpo.as_deref(), &[], &[])?,
                columns: column::columns(r)?,
            })
        })
        .collect::<Result<Vec<_>, ReportError>>()?;
    let names: Vec<&str> = runs.iter().map(|r| r.name).collect();
    let compared = comparisons(&runs);
    let mut paragraphs: Vec<String> =
        compared.iter().map(|(name, suites)| text::comparison(names[0], name, suites)).collect();
    let differences: Vec<Difference> =
        compared.into_iter().flat_map(|(name, suites)| differences(name, suites)).collect();
    let html = page::environment()?.get_template("compare.html")?.render(context! {
        names => names,
        figures => figures(&runs),
        settings => settings(&runs),
        scores => scores(&runs),
        differences => differences,
        charts => charts(&runs)?,
    })?;
    page::write(&request.out, &html)?;
    paragraphs.push(format!("comparison    {}", request.out.display()));
    Ok(paragraphs.join("\n\n"))
}

type Suites = Vec<(String, Comparison)>;

/// Compares each run except the first with the first, suite by suite.
fn comparisons(runs: &[Run<'_>]) -> Vec<(String, Suites)> {
    let Some(first) = runs.first().and_then(|r| r.columns.last()) else { return vec![] };
    let mut out = Vec::new();
    for run in &runs[1..] {
        let Some(last) = run.columns.last() else { continue };
        let suites = last.evaluation.suites.iter();
        let both = suites.filter(|s| first.evaluation.suite(&s.suite).is_some());
        let rows = both.map(|s| {
            let c = aggregate::compare(&first.scores, &last.scores, &s.suite, s.convention);
            (s.suite.clone(), c)
        });
        out.push((run.name.to_owned(), rows.collect()));
    }
    out
}

fn differences(run: String, suites: Suites) -> impl Iterator<Item = Difference> {
    suites.into_iter().map(move |(suite, c)| Difference {
        run: run.clone(),
        suite,
        pairs: c.pairs,
        clear: c.is_clear(),
        share: c.difference,
        low: c.low,
        high: c.high,
        won: c.won,
        lost: c.lost,
        only_first: c.only_first,
        only_second: c.only_second,
    })
}

/// Returns the scores of the last checkpoints.
fn scores(runs: &[Run<'_>]) -> Vec<Row<Option<Accuracy>>> {
    let last = |r: &Run<'_>| r.columns.last().map(|c| c.evaluation.clone());
    let last: Vec<_> = runs.iter().map(last).collect();
    let suites: BTreeSet<&str> =
        last.iter().flatten().flat_map(|e| &e.suites).map(|s| s.suite.as_str()).collect();
    let cell = |suite: &str| {
        let of = |e: &Option<crate::Evaluation>| Some(e.as_ref()?.suite(suite)?.all.clone());
        last.iter().map(of).collect()
    };
    suites.into_iter().map(|s| Row { name: s.to_owned(), cells: cell(s) }).collect()
}

/// Returns the figures that each run achieved.
fn figures(runs: &[Run<'_>]) -> Vec<Row<Option<f64>>> {
    type Figure = (&'static str, fn(&Training) -> Option<f64>);
    let names: [Figure; 7] = [
        ("parameters", |t| Some(t.parameters as f64)),
        ("steps", |t| Some(t.steps as f64)),
        ("tokens", |t| Some(t.tokens as f64)),
        ("seconds", |t| Some(t.seconds)),
        ("tokens a second", |t| Some(t.tokens_per_second)),
        ("last training loss", |t| Some(t.loss)),
        ("validation loss", |t| t.validation.get("val_loss").copied()),
    ];
    let mut rows = Vec::new();
    let stages: [(&str, Vec<Option<&Training>>); 2] = [
        ("pre-training", runs.iter().map(|r| r.pretrain.as_ref()).collect()),
        ("DPO", runs.iter().map(|r| r.dpo.as_ref()).collect()),
    ];
    for (stage, trainings) in stages {
        for (name, figure) in names {
            let cells: Vec<_> = trainings.iter().map(|t| t.and_then(figure)).collect();
            if cells.iter().any(Option::is_some) {
                rows.push(Row { name: format!("{stage}: {name}"), cells });
            }
        }
    }
    rows
}

/// Returns the pipeline fields that are not the same in all runs.
fn settings(runs: &[Run<'_>]) -> Vec<Row<String>> {
    let flat: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|r| {
            let mut out = BTreeMap::new();
            let pipeline = serde_json::to_value(&r.request.pipeline).unwrap_or_default();
            flatten("", &pipeline, &mut out);
            out
        })
        .collect();
    let fields: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    fields
        .into_iter()
        .map(|field| {
            let cell = |f: &BTreeMap<String, String>| f.get(field).cloned().unwrap_or("—".into());
            Row { name: field.clone(), cells: flat.iter().map(cell).collect() }
        })
        .filter(|row| row.cells.windows(2).any(|w| w[0] != w[1]))
        .collect()
}

/// Collects the leaves of a JSON value by their path. List items are named by their name, if they have one.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let join =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => {
            for (name, v) in map {
                flatten(&join(name), v, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                let name = item["name"].as_str().map_or(i.to_string(), str::to_owned);
                flatten(&join(&name), item, out);
            }
        }
        Value::Null => {}
        other => {
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            out.insert(path.to_owned(), text);
        }
    }
}

/// Draws the curves of all runs, one line per run.
fn charts(runs: &[Run<'_>]) -> Result<Vec<Chart>, ReportError> {
    let curves = [
        ("Pre-training: loss", "nats a token", "loss", true),
        ("Pre-training: validation loss", "nats a token", "val_loss", true),
        ("Pre-training: learning rate", "", "lr", true),
        ("Pre-training: speed", "tokens a second", "tokens_per_second", true),
        ("DPO: validation loss", "nats a pair", "val_loss", false),
    ];
    let mut out = Vec::new();
    for (title, unit, metric, pretrain) in curves {
        let mut lines = Vec::new();
        for run in runs {
            let folder = if pretrain { &run.request.pretrain } else { &run.request.dpo };
            let Some(folder) = folder else { continue };
            lines.push(Line::new(run.name, training::curve(folder, metric)?));
        }
        out.extend(Chart::new(title, unit, "tokens", lines));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_settings_that_differ_are_listed_by_their_path() {
        let mut flat = BTreeMap::new();
        let pipeline = json!({"name": "a", "train": {"lr": 1e-3, "x": null},
            "datasets": [{"name": "d", "rows": 3}], "list": [1, 2]});
        flatten("", &pipeline, &mut flat);
        let found: Vec<_> = flat.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            found,
            ["datasets.d.name=d", "datasets.d.rows=3", "list=[1,2]", "name=a", "train.lr=0.001"]
        );
    }
}
