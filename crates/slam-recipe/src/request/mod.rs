//! Requests to the worker: one type each, and [`Request`], the only list of them.

mod convert;
mod files;
mod generate;
mod report;
mod scores;
mod training;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluation::ProbeRequest;
use crate::publish::{self, PublishError};
use crate::wire::{self, Sealed, WireError};

pub use convert::{CheckpointForm, ConvertRequest, UnitsForm};
pub use files::{
    Archive, FetchFile, FetchRequest, HubRepository, ShowRequest, StoreAction, StoreRequest,
};
pub use generate::{GenerateRequest, Reporting, TokeniserFiles};
pub use report::{
    CompareRequest, DatasetCounts, DatasetFiles, IntermediateScores, ReportRequest,
    ScoredCheckpoint, Usage,
};
pub use scores::{EvaluateRequest, Relation, ScoresRequest};
pub use training::{DpoRequest, PretrainRequest, UnitShards};

/// What a worker is asked to do, beside units of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Pre-train a model.
    Pretrain(PretrainRequest),
    /// Take the first steps of pre-training, say what the whole would come to, and keep nothing.
    PlanPretrain(PretrainRequest),
    /// Optimise a model's preferences.
    Dpo(DpoRequest),
    /// Score a checkpoint.
    Evaluate(EvaluateRequest),
    /// Make tables of scores that are there, without a model.
    Scores(ScoresRequest),
    /// Write a run's report.
    Report(Box<ReportRequest>),
    /// Write a page that compares runs.
    Compare(CompareRequest),
    /// Continue spoken prompts.
    Generate(GenerateRequest),
    /// Write checkpoints and unit shards in other programs' forms, or read them.
    Convert(ConvertRequest),
    /// Download public data.
    Fetch(FetchRequest),
    /// Move shards between a folder and the object store that it mirrors.
    Store(StoreRequest),
    /// Say a shard's shape and some of its rows.
    Show(ShowRequest),
    /// Say whether other requests would be taken, without carrying them out.
    Check(CheckRequest),
    /// Compare a device's losses and gradients with the CPU's.
    CheckDevice,
}

impl Request {
    /// The name, as files and messages write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretrain",
            Self::PlanPretrain(_) => "plan-pretrain",
            Self::Dpo(_) => "dpo",
            Self::Evaluate(_) => "evaluate",
            Self::Scores(_) => "scores",
            Self::Report(_) => "report",
            Self::Compare(_) => "compare",
            Self::Generate(_) => "generate",
            Self::Convert(_) => "convert",
            Self::Fetch(_) => "fetch",
            Self::Store(_) => "store",
            Self::Show(_) => "show",
            Self::Check(_) => "check",
            Self::CheckDevice => "check-device",
        }
    }

    /// Whether it trains, and so may use several devices.
    pub fn trains(&self) -> bool {
        matches!(self, Self::Pretrain(_) | Self::PlanPretrain(_) | Self::Dpo(_))
    }

    /// The shards that it reads.
    pub fn shards(&self) -> Vec<&Path> {
        fn of<'a>(
            shards: impl IntoIterator<Item = &'a PathBuf>,
            suites: Option<&'a ProbeRequest>,
        ) -> Vec<&'a Path> {
            let suites = suites.into_iter().flat_map(|s| &s.shards);
            shards.into_iter().chain(suites).map(PathBuf::as_path).collect()
        }
        match self {
            Self::Pretrain(r) | Self::PlanPretrain(r) => {
                of(r.datasets.iter().flat_map(|d| &d.shards), r.suites.as_ref())
            }
            Self::Dpo(r) => of(&r.shards, r.suites.as_ref()),
            Self::Evaluate(r) => of(&r.shards, None),
            Self::Report(r) => {
                of(r.datasets.iter().flat_map(|d| d.corpus.iter().chain(&d.units)), None)
            }
            Self::Compare(r) => {
                let datasets = r.runs.iter().flat_map(|r| &r.datasets);
                of(datasets.flat_map(|d| d.corpus.iter().chain(&d.units)), None)
            }
            Self::Scores(_)
            | Self::Generate(_)
            | Self::Convert(_)
            | Self::Fetch(_)
            | Self::Store(_)
            | Self::Show(_)
            | Self::Check(_)
            | Self::CheckDevice => Vec::new(),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If the file cannot be read, is no request, or is of another version of the wire format.
    pub fn read(path: &Path) -> Result<Self, RequestError> {
        let bytes = std::fs::read(path)
            .map_err(|source| RequestError::Read { path: path.to_owned(), source })?;
        wire::open(&bytes).map_err(|source| RequestError::Wire { path: path.to_owned(), source })
    }

    /// Publishes the request as a file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), PublishError> {
        publish::write_json(path, &Sealed::new(self))
    }
}

/// A request that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The file cannot be read.
    #[error("failed to read request {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no request, or of another version.
    #[error("request {path}: {source}")]
    Wire {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WireError,
    },
}

/// Requests to check before the first of them is carried out: a misspelt field of `[dpo.params]` must not show
/// after a day of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The requests.
    pub requests: Vec<Request>,
}
