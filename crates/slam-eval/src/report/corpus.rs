//! What the datasets hold, read from their receipts.

use std::path::Path;

use serde::Serialize;
use slam_dataset::Receipt;

use super::{DatasetFiles, ReportError, links};

/// A dataset's figures.
#[derive(Serialize)]
pub(super) struct CorpusTotals {
    name: String,
    role: String,
    licence: String,
    pub(super) trains: bool,
    shards: usize,
    pub(super) utterances: u64,
    pub(super) hours: f64,
    /// The number of units after deduplication.
    pub(super) units: u64,
    pub(super) quarantined: u64,
    /// Links to the folders of its shards.
    corpus_link: Option<String>,
    units_link: Option<String>,
}

pub(super) fn totals(files: &DatasetFiles, page: &Path) -> Result<CorpusTotals, ReportError> {
    let mut totals = CorpusTotals {
        name: files.name.clone(),
        role: files.role.clone(),
        licence: files.licence.clone(),
        trains: files.trains,
        shards: files.corpus.len(),
        utterances: 0,
        hours: 0.0,
        units: 0,
        quarantined: 0,
        corpus_link: links::folder(page, files.corpus.first()),
        units_link: links::folder(page, files.units.first()),
    };
    for path in &files.corpus {
        let receipt = read(path)?;
        totals.utterances += receipt.rows;
        totals.quarantined += receipt.quarantined;
        totals.hours += receipt.totals.get("audio_seconds").copied().unwrap_or(0.0) / 3600.0;
    }
    for path in &files.units {
        let receipt = read(path)?;
        totals.quarantined += receipt.quarantined;
        totals.units += receipt.totals.get("units").copied().unwrap_or(0.0) as u64;
    }
    Ok(totals)
}

fn read(shard: &Path) -> Result<Receipt, ReportError> {
    let error = |message: String| ReportError::Read { path: shard.to_owned(), message };
    Receipt::read(shard)
        .map_err(|e| error(e.to_string()))?
        .ok_or_else(|| error("the shard has no receipt".into()))
}
