//! The scored checkpoints of a run, and how they differ.

use serde::Serialize;
use slam_dataset::schema::Score;
use slam_dataset::shard;
use slam_recipe::request::{ReportRequest, ScoredCheckpoint};

use super::error::ReportError;
use crate::aggregate;
use crate::record::Evaluation;

/// A scored checkpoint together with its scores.
pub(super) struct Column {
    pub(super) label: String,
    pub(super) evaluation: Evaluation,
    pub(super) scores: Vec<Score>,
}

/// How a suite changed from one checkpoint to the next.
#[derive(Serialize)]
pub(super) struct Change {
    pub(super) suite: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) share: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

pub(super) fn changes(columns: &[Column]) -> Vec<Change> {
    let mut out = Vec::new();
    for pair in columns.windows(2) {
        for suite in &pair[1].evaluation.suites {
            let d = aggregate::compare(
                &pair[0].scores,
                &pair[1].scores,
                &suite.suite,
                suite.convention,
            );
            out.push(Change {
                suite: suite.suite.clone(),
                from: pair[0].label.clone(),
                to: pair[1].label.clone(),
                share: d.difference,
                low: d.low,
                high: d.high,
            });
        }
    }
    out
}

pub(super) fn columns(request: &ReportRequest) -> Result<Vec<Column>, ReportError> {
    let column = |s: &ScoredCheckpoint| {
        Ok(Column {
            label: s.label.clone(),
            evaluation: Evaluation::read(&s.scores)?,
            scores: shard::read::<Score>(&s.scores)?,
        })
    };
    request.scores.iter().map(column).collect()
}
