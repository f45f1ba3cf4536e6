//! A dataset in a lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hash::Key;
use crate::name::ShardName;
use crate::params::PairFilter;
use crate::pipeline::Dataset;
use crate::receipt::{Receipt, ShardState};
use crate::stage::Stage;
use crate::tokeniser::Tokeniser;
use crate::work::{Input, WorkUnit};

/// A dataset under one tokeniser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDataset {
    /// Its definition, with the folder that it was read from.
    pub dataset: Dataset,
    /// What made its units.
    pub tokeniser: Tokeniser,
    /// The tokeniser's centroids, then its weights.
    pub tokeniser_files: Vec<Input>,
    /// Which pairs were left out, of a preference dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairFilter>,
    /// Its stages, each after those that it reads.
    pub stages: Vec<LockedStage>,
}

/// One stage over one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedStage {
    /// The stage.
    pub stage: Stage,
    /// Its shards, in order.
    pub shards: Vec<Shard>,
}

/// A shard: where it lies below the data root, and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Which shard.
    pub shard: ShardName,
    /// The stage's version.
    pub version: u32,
    /// Its file, relative to the data root.
    pub output: PathBuf,
    /// The key of its work.
    pub key: Key,
    /// Digest of its parameters alone.
    pub params: Key,
    /// Digest of its inputs' keys alone.
    pub inputs: Key,
    /// What it holds; none where it was planned and not made yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// What a shard holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Rows.
    pub rows: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// BLAKE3 of its file.
    pub blake3: Key,
    /// Inputs that were left out.
    pub quarantined: u64,
    /// Figures of the stage, e.g. `audio_seconds`.
    #[serde(default)]
    pub totals: BTreeMap<String, f64>,
}

impl LockedDataset {
    pub(super) fn names(&self) -> (&str, &str) {
        (&self.dataset.name, &self.tokeniser.name)
    }

    /// The shards of a stage; none where the dataset has no such stage.
    pub fn shards(&self, stage: Stage) -> &[Shard] {
        self.stages.iter().find(|s| s.stage == stage).map_or(&[], |s| &s.shards)
    }

    /// Keeps the counts of shards that were made and are the same work still: their files need not be here.
    pub(super) fn keep_made(&mut self, old: &Self) {
        let made: BTreeMap<&Key, &Made> = old
            .stages
            .iter()
            .flat_map(|s| &s.shards)
            .filter_map(|s| Some((&s.key, s.made.as_ref()?)))
            .collect();
        for shard in self.stages.iter_mut().flat_map(|s| &mut s.shards) {
            if shard.made.is_none() {
                shard.made = made.get(&shard.key).map(|m| (*m).clone());
            }
        }
    }

    /// Takes the counts of shards that are done from their receipts.
    pub fn note_receipts(&mut self, root: &Path) {
        for shard in self.stages.iter_mut().flat_map(|s| &mut s.shards) {
            if let ShardState::Done(receipt) = shard.state(root) {
                shard.made = Some(Made::from(*receipt));
            }
        }
    }
}

impl From<Receipt> for Made {
    fn from(receipt: Receipt) -> Self {
        let Receipt { rows, bytes, blake3, quarantined, totals, .. } = receipt;
        Self { rows, bytes, blake3, quarantined, totals }
    }
}

impl From<&WorkUnit> for Shard {
    fn from(unit: &WorkUnit) -> Self {
        Self {
            shard: unit.shard,
            version: unit.version,
            output: unit.output.clone(),
            key: unit.key.clone(),
            params: unit.params_digest(),
            inputs: unit.inputs_digest(),
            made: None,
        }
    }
}

impl Shard {
    /// What is there of the shard.
    pub fn state(&self, root: &Path) -> ShardState {
        crate::receipt::state(root, &self.output, &self.key)
    }
}
