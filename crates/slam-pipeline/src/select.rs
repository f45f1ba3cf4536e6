//! Which shards of a plan a command is about, and which others those need first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use slam_recipe::receipt::ShardState;
use slam_recipe::{Key, Stage};

use crate::plan::Plan;
use crate::stage_plan::{StagePlan, state};

/// Positions of units by stage, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// For each stage of the plan: the units asked for.
    pub chosen: Vec<Vec<usize>>,
    /// For each stage: units that were not asked for, are not done, and are inputs (of inputs) of some that
    /// were and have to be made.
    pub needed: Vec<Vec<usize>>,
}

/// A choice that fits nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// No stage of that name over that dataset.
    #[error("there is no such dataset and stage; there are: {known}")]
    NoSuchStage {
        /// What there is.
        known: String,
    },
    /// A number beyond the last shard of every chosen stage.
    #[error("there is no shard {index}; the last is {last}")]
    NoSuchShard {
        /// The number.
        index: u32,
        /// The last one there is.
        last: u32,
    },
}

/// What to choose; what is `None` is not asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The dataset.
    pub dataset: Option<&'a str>,
    /// The stage.
    pub stage: Option<Stage>,
    /// Shard numbers.
    pub shards: Option<&'a [u32]>,
    /// Whether shards that are done are made again, so that their inputs are needed.
    pub force: bool,
}

impl Selection {
    /// Selects from a plan, given what lies under the data root.
    ///
    /// # Errors
    /// If the plan has nothing of that name or number.
    pub fn new(plan: &Plan, choice: Choice<'_>, root: &Path) -> Result<Self, SelectError> {
        let fits = |s: &StagePlan| {
            choice.dataset.is_none_or(|d| d == s.dataset)
                && choice.stage.is_none_or(|x| x == s.stage)
        };
        let wanted = |index: u32| choice.shards.is_none_or(|s| s.contains(&index));
        let mut chosen = Vec::new();
        for stage in &plan.stages {
            let units = stage.units.iter().enumerate();
            let fitting = units.filter(|(_, u)| fits(stage) && wanted(u.shard.index));
            chosen.push(fitting.map(|(i, _)| i).collect::<Vec<_>>());
        }
        if !plan.stages.iter().any(fits) {
            let known: Vec<_> =
                plan.stages.iter().map(|s| format!("{} {}", s.dataset, s.stage)).collect();
            return Err(SelectError::NoSuchStage { known: known.join(", ") });
        }
        let counts = plan.stages.iter().filter(|s| fits(s)).map(|s| s.units.len() as u32);
        let last = counts.max().unwrap_or(0).saturating_sub(1);
        if let Some(&index) = choice.shards.unwrap_or_default().iter().find(|i| **i > last) {
            return Err(SelectError::NoSuchShard { index, last });
        }
        let needed = needed(plan, &chosen, &choice, root);
        Ok(Self { chosen, needed })
    }
}

fn needed(plan: &Plan, chosen: &[Vec<usize>], choice: &Choice<'_>, root: &Path) -> Vec<Vec<usize>> {
    let mut makers: BTreeMap<&Key, (usize, usize)> = BTreeMap::new();
    for (s, stage) in plan.stages.iter().enumerate() {
        makers.extend(stage.units.iter().enumerate().map(|(i, u)| (&u.key, (s, i))));
    }
    let unit = |(s, i): (usize, usize)| &plan.stages[s].units[i];
    let done = |place| matches!(state(unit(place), root), ShardState::Done(_));
    let asked: BTreeSet<(usize, usize)> = chosen
        .iter()
        .enumerate()
        .flat_map(|(s, units)| units.iter().map(move |i| (s, *i)))
        .collect();
    let mut open: Vec<_> = asked.iter().copied().filter(|p| choice.force || !done(*p)).collect();
    let mut found = BTreeSet::new();
    while let Some(place) = open.pop() {
        for input in &unit(place).inputs {
            let Some(&maker) = makers.get(&input.key) else { continue };
            if !asked.contains(&maker) && !found.contains(&maker) && !done(maker) {
                found.insert(maker);
                open.push(maker);
            }
        }
    }
    let mut out = vec![Vec::new(); plan.stages.len()];
    for (s, i) in found {
        out[s].push(i);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn plan() -> Plan {
        let pipeline = serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "shards": 3, "rows": 10, "source": {"kind": "grammar", "part": "stories"}},
                {"name": "b", "role": "benchmark", "shards": 2, "rows": 4, "source": {"kind": "grammar", "part": "stories"}},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 2}, "fit_on": "a"},
        }))
        .unwrap();
        Plan::new(&pipeline).unwrap()
    }

    fn named(plan: &Plan, units: &[Vec<usize>]) -> Vec<String> {
        let name = |(s, i): (usize, &usize)| {
            format!("{} {} {i}", plan.stages[s].dataset, plan.stages[s].stage)
        };
        units.iter().enumerate().flat_map(|(s, u)| u.iter().map(move |i| name((s, i)))).collect()
    }

    #[test]
    fn a_shard_alone_needs_what_its_inputs_are_made_of_and_no_more() {
        let (plan, root) = (plan(), tempfile::tempdir().unwrap());
        let choice = Choice {
            dataset: Some("a"),
            stage: Some(Stage::Unitise),
            shards: Some(&[2]),
            force: false,
        };
        let selection = Selection::new(&plan, choice, root.path()).unwrap();
        assert_eq!(named(&plan, &selection.chosen), ["a unitise 2"]);
        assert_eq!(named(&plan, &selection.needed), ["a ingest 0", "a ingest 2", "a fit-kmeans 0"]);
        let all = Selection::new(&plan, Choice::default(), root.path()).unwrap();
        assert!(all.needed.iter().all(Vec::is_empty));
    }

    #[test]
    fn names_and_numbers_that_are_not_there_are_refused() {
        let (plan, root) = (plan(), tempfile::tempdir().unwrap());
        let of = |stage, shards| {
            let choice = Choice { dataset: Some("a"), stage, shards, force: false };
            Selection::new(&plan, choice, root.path()).unwrap_err().to_string()
        };
        assert!(of(Some(Stage::Pair), None).contains("a unitise"));
        assert_eq!(of(Some(Stage::Ingest), Some(&[1, 3])), "there is no shard 3; the last is 2");
    }
}
