//! What sets a pipeline's dataset apart from the one that a lock holds.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::dataset::LockedDataset;
use crate::pipeline::{Dataset, Pipeline, PreferenceOptimisation, Role};
use crate::source::Making;
use crate::tokeniser::{KMeansConfig, Origin, Tokeniser};

/// A field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field, as `--set` names it.
    pub field: String,
    /// Its value in the lock; null where it has none.
    pub locked: Value,
    /// Its value in the pipeline; null where it has none.
    pub pipeline: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is now {}", self.field, self.locked, self.pipeline)
    }
}

/// The fields of a pipeline that differ from those that a dataset was prepared with. Where recordings and weights
/// lie is no difference: their content is in the shards' keys.
pub(super) fn of(
    locked: &LockedDataset,
    pipeline: &Pipeline,
    dataset: &Dataset,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let name = &dataset.name;
    compare(
        &format!("datasets.{name}"),
        &json(without_place(&locked.dataset)),
        &json(without_place(dataset)),
        &mut found,
    );
    // Pairs of other programs' files have no tokeniser but the one that they name themselves.
    if dataset.source.making() == Making::Corpus || dataset.source.of_dataset().is_some() {
        compare(
            "tokeniser",
            &json(tokeniser_without_place(&locked.tokeniser)),
            &json(tokeniser_without_place(&pipeline.tokeniser)),
            &mut found,
        );
    }
    if dataset.role == Role::Preference {
        compare("dpo.pair", &json(locked.pair), &json(filter(pipeline, name)), &mut found);
    }
    found
}

/// Which pairs of a dataset a pipeline leaves out.
pub(super) fn filter(pipeline: &Pipeline, dataset: &str) -> Option<crate::params::PairFilter> {
    let names = |dpo: &&PreferenceOptimisation| dpo.datasets.iter().any(|d| d == dataset);
    pipeline.dpo.as_ref().filter(names).map(|dpo| dpo.pair)
}

fn without_place(dataset: &Dataset) -> Dataset {
    Dataset { source: dataset.source.without_place(), licence: String::new(), ..dataset.clone() }
}

fn tokeniser_without_place(tokeniser: &Tokeniser) -> Tokeniser {
    let mut tokeniser = tokeniser.clone();
    tokeniser.checkpoint = None;
    tokeniser.origin = Origin::default();
    // Where centroids are read, nothing is fitted.
    if tokeniser.centroids.take().is_some() {
        tokeniser.kmeans = KMeansConfig::default();
    }
    tokeniser
}

fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn compare(field: &str, locked: &Value, pipeline: &Value, found: &mut Vec<Difference>) {
    match (locked, pipeline) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (a, b) =
                    (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                compare(&format!("{field}.{name}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference {
            field: field.to_owned(),
            locked: a.clone(),
            pipeline: b.clone(),
        }),
    }
}
