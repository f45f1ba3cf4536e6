//! The report of a run: one self-contained HTML file, and the same table as text.
//!
//! The report reads everything from what the run left on disk (receipts, metrics, scores, corpus shards).
//! So it can be made again at any time, and it is the same each time.

mod beside;
mod chart;
mod compare;
mod corpus;
mod examples;
mod links;
mod phenomena;
mod published;
mod table;
mod training;

use std::path::{Path, PathBuf};

use minijinja::{Environment, context};
use serde::Serialize;
use slam_dataset::schema::Score;
use slam_dataset::shard::{self, ShardError};
use slam_recipe::publish::{self, PublishError};

use crate::aggregate;
use crate::record::{Evaluation, RecordError, ScoredShard};
use training::{Point, Training};

use slam_recipe::request::{ReportRequest, ScoredCheckpoint};

pub use compare::compare;

/// The number of items shown from each end of a suite.
const CLIPS_PER_SUITE: usize = 1;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error("failed to read {path}: {message}; run the steps before the report again")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        message: String,
    },
    /// The scores cannot be read.
    #[error(transparent)]
    Scores(#[from] RecordError),
    /// A shard cannot be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The template does not accept the figures.
    #[error("failed to write the report: {0}")]
    Template(#[from] minijinja::Error),
    /// The file cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A scored checkpoint together with its scores.
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
/// Fails if something that the run should have left cannot be read, or if the file cannot be written.
pub fn report(request: &ReportRequest) -> Result<String, ReportError> {
    let page = &request.out;
    let corpus: Vec<_> = request.datasets.iter().map(|d| corpus::totals(d, page)).collect();
    let columns = columns(request)?;
    let pretrain = stage(request.pretrain.as_deref(), &request.intermediate.pretrain, &columns)?;
    let dpo = stage(request.dpo.as_deref(), &request.intermediate.dpo, &columns)?;
    let shards: Vec<_> = request.datasets.iter().flat_map(|d| &d.corpus).collect();
    let clips = match columns.last() {
        Some(last) => examples::pick(&last.scores, &last.evaluation, CLIPS_PER_SUITE, &shards)?,
        None => vec![],
    };
    let table = table::Table::of(&columns);
    let changes = changes(&columns);
    let text = table::text(request, &corpus, pretrain.as_ref(), dpo.as_ref(), &table, &changes);
    let last = columns.last();
    let scored: Vec<_> = last.iter().flat_map(|c| &c.evaluation.shards).collect();
    let scored: Vec<_> = scored.into_iter().map(|s| ShardLink::of(s, page)).collect();
    let environment = environment()?;
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
        scored => scored,
        bars => last.map(|c| phenomena::bars(&c.evaluation.suites)).unwrap_or_default(),
        beside => beside::Beside::of(&columns),
        pipeline => serde_json::to_string_pretty(&request.pipeline).unwrap_or_default(),
    })?;
    write(&request.out, &html)?;
    Ok(text)
}

fn columns(request: &ReportRequest) -> Result<Vec<Column>, ReportError> {
    let column = |s: &ScoredCheckpoint| {
        Ok(Column {
            label: s.label.clone(),
            evaluation: Evaluation::read(&s.scores)?,
            scores: shard::read::<Score>(&s.scores)?,
        })
    };
    request.scores.iter().map(column).collect()
}

/// Reads a stage of the run: its own files, and the scores of its checkpoints.
fn stage(
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
    training::read(folder, &points).map(Some)
}

/// Loads the templates.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_filter("group", table::group);
    environment.add_filter("figure", chart::number);
    environment.add_template("style.css", include_str!("style.css"))?;
    environment.add_template("report.html", include_str!("template.html"))?;
    environment.add_template("compare.html", include_str!("compare.html"))?;
    Ok(environment)
}

/// Writes a page, unless the same page already exists.
fn write(path: &Path, html: &str) -> Result<(), PublishError> {
    if std::fs::read(path).is_ok_and(|old| old == html.as_bytes()) {
        return Ok(());
    }
    publish::write(path, html.as_bytes())
}

/// A scored shard, prepared for the page.
#[derive(Serialize)]
struct ShardLink {
    name: String,
    link: String,
    rows: Option<u64>,
    splits: String,
    hash: String,
    left_out: String,
}

impl ShardLink {
    fn of(shard: &ScoredShard, page: &Path) -> Self {
        // The path is data/<dataset>/benchmark-v1/<tokeniser>/part.parquet.
        let dataset = shard.path.ancestors().nth(3).and_then(Path::file_name).unwrap_or_default();
        let reasons: Vec<_> = shard.left_out.iter().map(|(r, n)| format!("{n} {r}")).collect();
        Self {
            name: dataset.to_string_lossy().into_owned(),
            link: links::relative(page, &shard.path),
            rows: shard.rows,
            splits: shard.splits.join(", "),
            hash: shard.blake3.short().to_owned(),
            left_out: if reasons.is_empty() { "nothing".into() } else { reasons.join(", ") },
        }
    }
}
