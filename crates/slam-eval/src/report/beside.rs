//! This run's scores in the columns of the published systems.

use serde::Serialize;

use super::column::Column;
use super::published::{SYSTEMS, System};
use crate::aggregate::Accuracy;

/// The published columns, with the suites of a run that belong in each.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("sWUGGY", &["swuggy-test", "swuggy-dev", "swuggy"]),
    ("sBLIMP", &["sblimp-test", "sblimp-dev", "sblimp"]),
    ("sSC", &["ssc"]),
    ("tSC", &["tsc"]),
];

/// The run's scores next to those of the published systems.
#[derive(Serialize)]
pub(super) struct Beside {
    /// The run's checkpoints; empty if the run has none of the published suites.
    ours: Vec<Ours>,
    published: &'static [System],
}

#[derive(Serialize)]
struct Ours {
    label: String,
    cells: Vec<Option<Cell>>,
}

#[derive(Serialize)]
struct Cell {
    suite: String,
    accuracy: Accuracy,
}

impl Beside {
    pub(super) fn new(columns: &[Column]) -> Self {
        let ours = columns.iter().map(|column| {
            let cell = |names: &[&str]| {
                let found = names.iter().find_map(|name| column.evaluation.suite(name));
                found.map(|s| Cell { suite: s.suite.clone(), accuracy: s.all.clone() })
            };
            let cells = COLUMNS.iter().map(|(_, names)| cell(names)).collect();
            Ours { label: column.label.clone(), cells }
        });
        let ours = ours.filter(|o| o.cells.iter().any(Option::is_some)).collect();
        Self { ours, published: &SYSTEMS }
    }
}
