//! The table of scores, for the page and as text.

use std::fmt::Write;

use serde::Serialize;

use slam_recipe::request::ReportRequest;

use super::column::{Change, Column};
use super::corpus::CorpusTotals;
use super::training::Training;
use crate::aggregate::Accuracy;

/// Scores by suite and checkpoint.
#[derive(Serialize)]
pub(super) struct Table {
    labels: Vec<String>,
    convention: String,
    rows: Vec<Row>,
    /// The kinds of each suite, under the last checkpoint.
    kinds: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    suite: String,
    kind: String,
    pairs: usize,
    cells: Vec<Option<Accuracy>>,
}

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        let labels = columns.iter().map(|c| c.label.clone()).collect();
        let Some(last) = columns.last() else {
            return Self { labels, convention: String::new(), rows: vec![], kinds: vec![] };
        };
        let mut names: Vec<_> =
            last.evaluation.suites.iter().map(|s| s.convention.name()).collect();
        names.dedup();
        let convention = names.join(", ");
        let mut table = Self { labels, convention, rows: vec![], kinds: vec![] };
        for suite in &last.evaluation.suites {
            let name = &suite.suite;
            table.rows.push(Row {
                suite: name.clone(),
                kind: String::new(),
                pairs: suite.all.pairs,
                cells: columns
                    .iter()
                    .map(|c| c.evaluation.suite(name).map(|s| s.all.clone()))
                    .collect(),
            });
            if suite.kinds.len() > 1 {
                table.kinds.extend(suite.kinds.iter().map(|(kind, accuracy)| {
                    Row {
                        suite: name.clone(),
                        kind: kind.clone(),
                        pairs: accuracy.pairs,
                        cells: columns
                            .iter()
                            .map(|c| {
                                c.evaluation.suite(name).and_then(|s| s.kinds.get(kind).cloned())
                            })
                            .collect(),
                    }
                }));
            }
        }
        table
    }
}

/// Formats a whole number with separators between thousands.
pub(super) fn group(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns the results of the run, for a terminal.
pub(super) fn text(
    request: &ReportRequest,
    corpus: &[CorpusTotals],
    pretrain: Option<&Training>,
    dpo: Option<&Training>,
    table: &Table,
    changes: &[Change],
) -> String {
    let mut out = String::new();
    let hours: f64 = corpus.iter().map(|c| c.hours).sum();
    let utterances: u64 = corpus.iter().map(|c| c.utterances).sum();
    let quarantined: u64 = corpus.iter().map(|c| c.quarantined).sum();
    let training = corpus.iter().filter(|c| c.trains);
    let (train_hours, train_units) =
        training.fold((0.0, 0), |(h, u), c| (h + c.hours, u + c.units));
    let _ = writeln!(
        out,
        "corpus        {hours:.2} h in {} utterances, {quarantined} left out; {train_hours:.2} h and {} units to train on",
        group(utterances),
        group(train_units)
    );
    for (name, training) in [("pre-training", pretrain), ("DPO", dpo)] {
        if let Some(t) = training {
            let validation = t
                .validation
                .get("val_loss")
                .map_or(String::new(), |l| format!(", validation loss {l:.3}"));
            let _ = writeln!(
                out,
                "{name:13} {} parameters, {} steps, {} tokens in {:.0} s ({:.0} a second), loss {:.3}{validation}",
                group(t.parameters),
                group(t.steps),
                group(t.tokens),
                t.seconds,
                t.tokens_per_second,
                t.loss
            );
        }
    }
    if !table.rows.is_empty() {
        let _ = write!(out, "\n{:14}{:>6}", "suite", "pairs");
        for label in &table.labels {
            let _ = write!(out, "   {label:<20}");
        }
        let _ = writeln!(out, "   chance");
        for row in &table.rows {
            let _ = write!(out, "{:14}{:>6}", row.suite, row.pairs);
            for cell in &row.cells {
                let cell = cell.as_ref().map_or("—".to_owned(), |a| {
                    let [share, low, high] = [a.share, a.low, a.high].map(|v| 100.0 * v);
                    format!("{share:.1} % [{low:.1}, {high:.1}]")
                });
                let _ = write!(out, "   {cell:<20}");
            }
            let _ = writeln!(out, "   50 %");
        }
        let _ =
            writeln!(out, "95 % bootstrap intervals over items; convention {}", table.convention);
    }
    if table.labels.len() > 1 {
        write_changes(&mut out, table, changes);
    }
    if let Some(notice) = &request.notice {
        let _ = writeln!(out, "{notice}");
    }
    let _ = write!(out, "report        {}", request.out.display());
    out
}

/// Writes how much better each checkpoint is than the one before it, item by item.
fn write_changes(out: &mut String, table: &Table, changes: &[Change]) {
    let _ = write!(out, "\n{:20}", "change");
    for label in &table.labels[1..] {
        let _ = write!(out, "   {label:<22}");
    }
    let _ = writeln!(out);
    for row in &table.rows {
        let _ = write!(out, "{:20}", row.suite);
        for label in &table.labels[1..] {
            let change = changes.iter().find(|c| c.suite == row.suite && c.to == *label);
            let cell = change.map_or("—".to_owned(), |c| {
                let [share, low, high] = [c.share, c.low, c.high].map(|v| 100.0 * v);
                format!("{share:+.1} [{low:+.1}, {high:+.1}]")
            });
            let _ = write!(out, "   {cell:<22}");
        }
        let _ = writeln!(out);
    }
    let _ = writeln!(
        out,
        "points over the checkpoint before, on the same items: 95 % intervals of the paired difference"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 12, 999, 1000, 1_234_567].map(group),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
    }
}
