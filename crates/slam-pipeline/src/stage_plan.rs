//! One stage over one dataset, as units of work.

use std::path::{Path, PathBuf};

use slam_recipe::receipt::{self, ShardState};
use slam_recipe::work::Input;
use slam_recipe::{ShardName, Stage, Work, WorkUnit};

/// One stage over one dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// The dataset.
    pub dataset: String,
    /// The stage.
    pub stage: Stage,
    /// Its shards.
    pub units: Vec<WorkUnit>,
}

/// What is there of a unit's shard.
pub(crate) fn state(unit: &WorkUnit, root: &Path) -> ShardState {
    receipt::state(root, &unit.output, &unit.key)
}

impl StagePlan {
    /// A stage whose shards are made by these works of these inputs.
    pub(crate) fn new(
        dataset: &str,
        stage: Stage,
        tokeniser: Option<&str>,
        work: Vec<(Work, Vec<Input>)>,
    ) -> Self {
        let count = work.len() as u32;
        let unit = |(i, (work, inputs)): (u32, (Work, Vec<Input>))| {
            let shard = ShardName::new(i, count);
            WorkUnit::new(work, shard, inputs, output(stage, dataset, tokeniser, shard))
        };
        let units = (0..).zip(work).map(unit).collect();
        Self { dataset: dataset.to_owned(), stage, units }
    }

    /// What is there of each shard.
    pub fn states(&self, root: &Path) -> Vec<ShardState> {
        self.units.iter().map(|u| state(u, root)).collect()
    }

    /// Positions of the units that are not done.
    pub fn pending(&self, root: &Path) -> Vec<usize> {
        let states = self.states(root);
        let done = |s: &ShardState| matches!(s, ShardState::Done(_));
        (0..states.len()).filter(|&i| !done(&states[i])).collect()
    }
}

/// The file of a stage's shard, below the data root.
fn output(stage: Stage, dataset: &str, tokeniser: Option<&str>, shard: ShardName) -> PathBuf {
    let mut path = PathBuf::from(dataset).join(stage.folder());
    if let Some(tokeniser) = tokeniser {
        path.push(tokeniser);
    }
    path.join(format!("{shard}.{}", stage.extension()))
}
