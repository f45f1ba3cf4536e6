//! The report of a run: one self-contained HTML file, and the same table as text.
//!
//! The report reads everything from what the run left on disk (receipts, metrics, scores, corpus shards).
//! So it can be made again at any time, and it is the same each time.

mod beside;
mod chart;
mod column;
mod compare;
mod corpus;
mod error;
mod examples;
mod links;
mod page;
mod phenomena;
mod published;
mod table;
mod training;

use std::path::Path;

use minijinja::context;
use serde::Serialize;
use slam_recipe::request::ReportRequest;

use crate::record::ScoredShard;

pub use compare::compare;
pub use error::ReportError;

use column::{changes, columns};
use training::stage;

/// The number of items shown from each end of a suite.
const CLIPS_PER_SUITE: usize = 1;

/// Writes the report and returns its table as text.
///
/// # Errors
/// Fails if something that the run should have left cannot be read, or if the file cannot be written.
pub fn report(request: &ReportRequest) -> Result<String, ReportError> {
    let out = &request.out;
    let corpus: Vec<_> = request.datasets.iter().map(|d| corpus::totals(d, out)).collect();
    let columns = columns(request)?;
    let pretrain = stage(request.pretrain.as_deref(), &request.intermediate.pretrain, &columns)?;
    let dpo = stage(request.dpo.as_deref(), &request.intermediate.dpo, &columns)?;
    let shards: Vec<_> = request.datasets.iter().flat_map(|d| &d.corpus).collect();
    let clips = match columns.last() {
        Some(last) => examples::pick(&last.scores, &last.evaluation, CLIPS_PER_SUITE, &shards)?,
        None => vec![],
    };
    let table = table::Table::new(&columns);
    let changes = changes(&columns);
    let text = table::text(request, &corpus, pretrain.as_ref(), dpo.as_ref(), &table, &changes);
    let last = columns.last();
    let scored: Vec<_> = last.iter().flat_map(|c| &c.evaluation.shards).collect();
    let scored: Vec<_> = scored.into_iter().map(|s| ShardLink::new(s, out)).collect();
    let environment = page::environment()?;
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
        beside => beside::Beside::new(&columns),
        pipeline => serde_json::to_string_pretty(&request.pipeline).unwrap_or_default(),
    })?;
    page::write(out, &html)?;
    Ok(text)
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
    fn new(shard: &ScoredShard, page: &Path) -> Self {
        // The path is data/<dataset>/benchmark-v2/<tokeniser>/part.parquet.
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
