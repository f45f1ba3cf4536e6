//! The recipe lock: what a data root holds, and what it was made of.
//!
//! `prepare-data` plans shards from recordings, which later commands and other machines need not have. The lock,
//! one file in the data root, keeps what it planned and made: for each dataset its definition, its tokeniser with
//! the files' hashes, and of each shard the place, the keys and the counts. Training, scoring and reports read
//! the lock alone.

mod dataset;
mod difference;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::name::ShardName;
use crate::pipeline::{Dataset, Pipeline};
use crate::publish::{self, PublishError};
use crate::stage::Stage;

pub use dataset::{LockedDataset, LockedStage, Made, Shard};
pub use difference::Difference;

/// The version of the lock's format. Raise it where an older program would misread the file.
const VERSION: u32 = 2;

/// What a data root holds. Datasets are told apart by their name and their tokeniser's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// The datasets, in the order of their names.
    pub datasets: Vec<LockedDataset>,
}

/// The part of a lock that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A lock that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// There is none.
    #[error("{root} has no {name}: nothing was prepared there", name = Lock::NAME)]
    Missing {
        /// The data root.
        root: PathBuf,
    },
    /// It cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no lock.
    #[error(
        "{path} is no recipe lock: {source}; delete it and prepare the data again, which makes only what is missing"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is a folder or a pipe.
    #[error(
        "{path} is not a file; remove it and prepare the data again, which makes only what is missing"
    )]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// It does not name every shard of a stage.
    #[error(
        "{path} does not name every shard of stage '{stage}' of dataset '{dataset}'; delete it and prepare the data \
         again, which makes only what is missing"
    )]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// The stage.
        stage: Stage,
    },
    /// It is of another version.
    #[error(
        "{path} has version {found}, this program reads version {VERSION}; use a program of the same version, or \
         delete it and prepare the data again, which makes only what is missing"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It has no such dataset.
    #[error(
        "the lock of {root} knows no dataset '{dataset}' with tokeniser '{tokeniser}'; it has {known}"
    )]
    Unknown {
        /// The data root.
        root: PathBuf,
        /// The dataset.
        dataset: String,
        /// The tokeniser.
        tokeniser: String,
        /// What it has.
        known: String,
    },
    /// A dataset was made from another definition.
    #[error("dataset '{dataset}' was prepared otherwise than the pipeline says: {differences}")]
    Differs {
        /// The dataset.
        dataset: String,
        /// The fields that differ.
        differences: Differences,
    },
    /// The lock cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Fields that differ between a lock and a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences(pub Vec<Difference>);

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<_> = self.0.iter().map(Difference::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, datasets: Vec::new() }
    }
}

impl Lock {
    /// A lock of datasets.
    pub fn new(datasets: Vec<LockedDataset>) -> Self {
        Self { datasets, ..Self::default() }
    }

    /// The file's name in a data root.
    pub const NAME: &'static str = "slam.lock";

    /// Reads the lock of a data root.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or it is of another version.
    pub fn read(root: &Path) -> Result<Self, LockError> {
        let path = root.join(Self::NAME);
        // A pipe in its place would be waited for.
        if fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
            return Err(LockError::NoFile { path });
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(LockError::Missing { root: root.to_owned() });
            }
            Err(source) => return Err(LockError::Read { path, source }),
        };
        let form = |source| LockError::Form { path: path.clone(), source };
        let Version { version } = serde_json::from_slice(&bytes).map_err(form)?;
        if version != VERSION {
            return Err(LockError::Version { path, found: version });
        }
        let lock: Self = serde_json::from_slice(&bytes).map_err(form)?;
        let stages = lock.datasets.iter().flat_map(|d| d.stages.iter().map(move |s| (d, s)));
        for (dataset, stage) in stages {
            let count = stage.shards.first().map_or(1, |s| s.shard.count);
            let whole = (0..count).map(|index| ShardName { index, count });
            if !stage.shards.iter().map(|s| s.shard).eq(whole) {
                let (dataset, stage) = (dataset.dataset.name.clone(), stage.stage);
                return Err(LockError::Incomplete { path, dataset, stage });
            }
        }
        Ok(lock)
    }

    /// Puts datasets into the lock of a data root, in the place of older ones of the same names. Several processes
    /// may do so at once.
    ///
    /// # Errors
    /// If the lock that is there cannot be read, or the disk refuses.
    pub fn update(root: &Path, datasets: Vec<LockedDataset>) -> Result<(), LockError> {
        let guard = root.join(".plans").join("slam.lock.guard");
        let wrap = |e| LockError::Publish(PublishError::new(&guard, e));
        fs::create_dir_all(root.join(".plans")).map_err(wrap)?;
        let held = File::create(&guard).map_err(wrap)?;
        held.lock().map_err(wrap)?;
        let mut lock = match Self::read(root) {
            Ok(lock) => lock,
            Err(LockError::Missing { .. }) => Self::default(),
            Err(e) => return Err(e),
        };
        let before = lock.clone();
        for mut new in datasets {
            if let Some(old) = lock.datasets.iter().position(|old| old.names() == new.names()) {
                new.keep_made(&lock.datasets.swap_remove(old));
            }
            lock.datasets.push(new);
        }
        lock.datasets.sort_by(|a, b| a.names().cmp(&b.names()));
        if lock != before {
            publish::write_json(&root.join(Self::NAME), &lock)?;
        }
        // Closing the file lets the next process in.
        drop(held);
        Ok(())
    }

    /// A dataset under a tokeniser.
    pub fn dataset(&self, dataset: &str, tokeniser: &str) -> Option<&LockedDataset> {
        self.datasets.iter().find(|d| d.names() == (dataset, tokeniser))
    }

    /// The datasets of a pipeline, each checked against the pipeline's definition. Those that are `needed` must be
    /// there; of the others, what the lock has.
    ///
    /// # Errors
    /// If one that is needed is not there, or was prepared from another definition.
    pub fn select(
        &self,
        root: &Path,
        pipeline: &Pipeline,
        needed: impl Fn(&Dataset) -> bool,
    ) -> Result<Prepared, LockError> {
        let tokeniser = &pipeline.tokeniser.name;
        let mut datasets = Vec::new();
        for dataset in &pipeline.datasets {
            match self.dataset(&dataset.name, tokeniser) {
                Some(locked) => {
                    let differences = difference::of(locked, pipeline, dataset);
                    if differences.is_empty() {
                        datasets.push(locked.clone());
                    } else if needed(dataset) {
                        let differences = Differences(differences);
                        let dataset = dataset.name.clone();
                        return Err(LockError::Differs { dataset, differences });
                    }
                }
                None if needed(dataset) => {
                    let known: Vec<_> = self
                        .datasets
                        .iter()
                        .map(|d| format!("{} ({})", d.dataset.name, d.tokeniser.name))
                        .collect();
                    return Err(LockError::Unknown {
                        root: root.to_owned(),
                        dataset: dataset.name.clone(),
                        tokeniser: tokeniser.clone(),
                        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                    });
                }
                None => {}
            }
        }
        Ok(Prepared { datasets })
    }
}

/// The datasets of a pipeline as they were prepared: all that a run needs to know of its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    /// The datasets, in the pipeline's order.
    pub datasets: Vec<LockedDataset>,
}

impl Prepared {
    /// The shards of a stage of a dataset; none where it has no such stage.
    pub fn shards(&self, dataset: &str, stage: Stage) -> &[Shard] {
        let found = self.datasets.iter().find(|d| d.dataset.name == dataset);
        found.map_or(&[], |d| d.shards(stage))
    }

    /// All shards, with the dataset and the stage of each.
    pub fn all(&self) -> impl Iterator<Item = (&LockedDataset, Stage, &Shard)> {
        self.datasets.iter().flat_map(|d| {
            d.stages.iter().flat_map(move |s| s.shards.iter().map(move |shard| (d, s.stage, shard)))
        })
    }
}

#[cfg(test)]
mod tests;
