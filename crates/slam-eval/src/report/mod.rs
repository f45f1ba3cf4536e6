//! The report of a run: one self-contained HTML file, and the same table as text.
//!
//! Everything in it is read from what the run left on disk (receipts, metrics, scores, corpus shards), so
//! that it can be made again at any time and is the same each time.

mod chart;
mod corpus;
mod examples;
mod published;
mod table;
mod training;

use std::path::PathBuf;

use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slam_dataset::publish::{self, PublishError};
use slam_dataset::schema::Score;
use slam_dataset::shard::{self, ShardError};

use crate::aggregate;
use crate::record::{Evaluation, RecordError};

/// Items shown from each end of a suite.
const CLIPS_PER_SUITE: usize = 1;

/// What a report shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The run's name.
    title: String,
    /// Why the figures mean nothing, where they do not.
    notice: Option<String>,
    /// The pipeline, as it was run.
    pipeline: Value,
    /// The datasets.
    datasets: Vec<DatasetFiles>,
    /// The folder of pre-training.
    pretrain: Option<PathBuf>,
    /// The folder of preference optimisation.
    dpo: Option<PathBuf>,
    /// Scored checkpoints, in the order of the run.
    scores: Vec<ScoredCheckpoint>,
    /// Where the HTML file goes.
    out: PathBuf,
}

/// A dataset's shards.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetFiles {
    name: String,
    role: String,
    /// Whether the model is trained on it.
    trains: bool,
    licence: String,
    corpus: Vec<PathBuf>,
    units: Vec<PathBuf>,
}

/// A scored checkpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoredCheckpoint {
    label: String,
    scores: PathBuf,
}

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error("failed to read {path}: {message}; run the steps before the report again")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Scores cannot be read.
    #[error(transparent)]
    Scores(#[from] RecordError),
    /// A shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The template does not take the figures.
    #[error("failed to write the report: {0}")]
    Template(#[from] minijinja::Error),
    /// The disk refuses.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A scored checkpoint with its scores.
struct Column {
    label: String,
    evaluation: Evaluation,
    scores: Vec<Score>,
}

/// How a suite changed from one checkpoint to the next.
#[derive(Serialize)]
struct Change {
    suite: String,
    from: String,
    to: String,
    share: f64,
    low: f64,
    high: f64,
}

fn changes(columns: &[Column]) -> Vec<Change> {
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

/// Writes the report and returns its table as text.
///
/// # Errors
/// If something that the run should have left cannot be read, or the disk refuses.
pub fn report(request: &ReportRequest) -> Result<String, ReportError> {
    let corpus: Vec<_> = request.datasets.iter().map(corpus::totals).collect::<Result<_, _>>()?;
    let columns = request
        .scores
        .iter()
        .map(|s| {
            Ok(Column {
                label: s.label.clone(),
                evaluation: Evaluation::read(&s.scores)?,
                scores: shard::read::<Score>(&s.scores)?,
            })
        })
        .collect::<Result<Vec<_>, ReportError>>()?;
    let pretrain = request.pretrain.as_deref().map(training::read).transpose()?;
    let dpo = request.dpo.as_deref().map(training::read).transpose()?;
    let shards: Vec<_> = request.datasets.iter().flat_map(|d| &d.corpus).collect();
    let clips = match columns.last() {
        Some(last) => examples::pick(&last.scores, &last.evaluation, CLIPS_PER_SUITE, &shards)?,
        None => vec![],
    };
    let table = table::Table::of(&columns);
    let changes = changes(&columns);
    let text = table::text(request, &corpus, pretrain.as_ref(), dpo.as_ref(), &table, &changes);
    let mut environment = Environment::new();
    environment.add_filter("group", table::group);
    environment.add_template("report.html", include_str!("template.html"))?;
    let html = environment.get_template("report.html")?.render(context! {
        title => request.title,
        notice => request.notice,
        corpus => corpus,
        hours => corpus.iter().map(|c| c.hours).sum::<f64>(),
        pretrain => pretrain,
        dpo => dpo,
        table => table,
        changes => changes,
        clips => clips,
        published => published::SYSTEMS,
        pipeline => serde_json::to_string_pretty(&request.pipeline).unwrap_or_default(),
    })?;
    if std::fs::read(&request.out).is_ok_and(|old| old == html.as_bytes()) {
        return Ok(text);
    }
    publish::write(&request.out, html.as_bytes())?;
    Ok(text)
}
