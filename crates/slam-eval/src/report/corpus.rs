//! What the datasets hold, as the lock of their root counts them.

use std::path::Path;

use serde::Serialize;
use slam_recipe::pipeline::Role;
use slam_recipe::request::{DatasetFiles, Usage};

use super::links;

/// A dataset's figures.
#[derive(Serialize)]
pub(super) struct CorpusTotals {
    name: String,
    role: Role,
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

pub(super) fn totals(files: &DatasetFiles, page: &Path) -> CorpusTotals {
    CorpusTotals {
        name: files.name.clone(),
        role: files.role,
        licence: files.licence.clone(),
        trains: files.usage == Usage::Training,
        shards: files.corpus.len(),
        utterances: files.counts.utterances,
        hours: files.counts.audio_seconds / 3600.0,
        units: files.counts.units,
        quarantined: files.counts.quarantined,
        corpus_link: links::folder(page, files.corpus.first()),
        units_link: links::folder(page, files.units.first()),
    }
}
