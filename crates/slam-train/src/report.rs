//! What a run tells of itself: its news while it goes on, and its summary.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use slam_recipe::Key;

use crate::budget::Spent;
use crate::plan::Plan;

/// What a run writes when it is finished, beside the model in `final/`.
pub(crate) const SUMMARY: &str = "summary.json";

/// News of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// How far it is.
    Progress(Report),
    /// What it expects, for the first time or anew.
    Plan(Plan),
    /// Something that a person should know.
    Note(String),
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The fraction of the budget that is spent.
    pub progress: f64,
    /// What is spent.
    pub spent: Spent,
    /// Seconds left, where they can be told.
    pub seconds_left: Option<f64>,
    /// The last loss.
    pub loss: f64,
    /// The last validation loss.
    pub validation_loss: Option<f64>,
    /// The last learning rate.
    pub lr: f64,
    /// Tokens a second in this session.
    pub tokens_per_second: f64,
    /// The training rate (6 operations a parameter and token) over the rate at which the device multiplies
    /// matrices.
    pub peak_share: f64,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the run was made of.
    pub key: Key,
    /// What it took.
    pub spent: Spent,
    /// The last training loss.
    pub loss: f64,
    /// Figures of held-out data at the end.
    pub validation: BTreeMap<String, f64>,
    /// Parameters of the model.
    pub parameters: u64,
    /// Whether the run was finished before this call.
    #[serde(skip)]
    pub was_done: bool,
}

/// How a run ended that nothing kept from its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It trained to the end of its budget, now or before.
    Trained(Summary),
    /// It was asked for its plan alone, and nothing of it is kept.
    Planned(Plan),
}

/// The summary of a finished run with this key.
pub(crate) fn finished(run: &Path, key: &Key) -> Option<Summary> {
    let bytes = fs::read(run.join(SUMMARY)).ok()?;
    let summary: Summary = serde_json::from_slice(&bytes).ok()?;
    (summary.key == *key && run.join("final").is_dir())
        .then_some(Summary { was_done: true, ..summary })
}
