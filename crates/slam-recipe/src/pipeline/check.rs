//! Whether the parts of a pipeline fit together.

use super::{Pipeline, PipelineError, PreferenceOptimisation, Role};
use crate::source::{Making, Source};

/// Parts of a pipeline that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineFault {
    /// Centroids from nowhere, or from two places.
    #[error("tokeniser needs either fit_on (a dataset) or centroids (a file)")]
    Centroids,
    /// A model to start from where it cannot be used.
    #[error(
        "[dpo] policy is the checkpoint that a pipeline without [train] starts from; leave out one of both"
    )]
    Policy,
    /// A source of pairs that cannot be planned.
    #[error("the source of dataset '{dataset}': {fault}")]
    Pairs {
        /// The dataset.
        dataset: String,
        /// What is wrong.
        fault: PairsError,
    },
    /// A dataset that is named but not defined.
    #[error("{field} names dataset '{dataset}', which it does not define")]
    NoSuchDataset {
        /// Where it is named.
        field: &'static str,
        /// The name.
        dataset: String,
    },
    /// Two datasets of one name.
    #[error("it defines dataset '{dataset}' twice; give each a name of its own")]
    Twice {
        /// The name.
        dataset: String,
    },
}

/// What is wrong with a source of pairs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// A dataset of another role.
    #[error("it makes pairs; the dataset needs role = \"preference\"")]
    Role,
    /// A field is missing.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// The dataset it is made of is made of pairs.
    #[error("'{0}' has no units: it is made of pairs itself")]
    NoUnits(String),
    /// The dataset it is made of is not defined.
    #[error("it names dataset '{0}', which the pipeline does not define")]
    NoSuchDataset(String),
}

impl Pipeline {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// With the first fault.
    pub fn check(&self) -> Result<(), PipelineError> {
        match self.find_fault() {
            Some(fault) => {
                Err(PipelineError::Fault { pipeline: self.name.clone(), fault: Box::new(fault) })
            }
            None => Ok(()),
        }
    }

    fn find_fault(&self) -> Option<PipelineFault> {
        for (i, dataset) in self.datasets.iter().enumerate() {
            if self.datasets[..i].iter().any(|d| d.name == dataset.name) {
                return Some(PipelineFault::Twice { dataset: dataset.name.clone() });
            }
            if let Some(fault) = self.find_pairs_fault(&dataset.source, dataset.role) {
                return Some(PipelineFault::Pairs { dataset: dataset.name.clone(), fault });
            }
        }
        let policy = |dpo: &PreferenceOptimisation| dpo.policy.is_some();
        if self.train.is_some() && self.dpo.as_ref().is_some_and(policy) {
            return Some(PipelineFault::Policy);
        }
        let tokeniser = &self.tokeniser;
        if tokeniser.fit_on.is_some() == tokeniser.centroids.is_some() {
            return Some(PipelineFault::Centroids);
        }
        let lists = [
            ("tokeniser.fit_on", tokeniser.fit_on.iter().collect::<Vec<_>>()),
            ("train.datasets", self.train.iter().flat_map(|t| &t.datasets).collect()),
            ("dpo.datasets", self.dpo.iter().flat_map(|t| &t.datasets).collect()),
            ("evaluate.datasets", self.evaluate.iter().flat_map(|e| &e.datasets).collect()),
            (
                "evaluate.during_training",
                self.evaluate.iter().flat_map(|e| &e.during_training).collect(),
            ),
        ];
        for (field, names) in lists {
            if let Some(name) = names.into_iter().find(|name| self.dataset(name).is_none()) {
                return Some(PipelineFault::NoSuchDataset { field, dataset: name.clone() });
            }
        }
        None
    }

    /// What is wrong with where a dataset's pairs come from, if not from recordings.
    fn find_pairs_fault(&self, source: &Source, role: Role) -> Option<PairsError> {
        if source.making() != Making::Pairs {
            return None;
        }
        if role != Role::Preference {
            return Some(PairsError::Role);
        }
        match source {
            Source::SlamkitPairs(s) if s.folder.is_none() => {
                return Some(PairsError::Missing("folder"));
            }
            Source::Sampled(s) if s.checkpoint.is_none() => {
                return Some(PairsError::Missing("checkpoint"));
            }
            Source::OwnContinuation(_) | Source::Sampled(_) if source.of_dataset().is_none() => {
                return Some(PairsError::Missing("of"));
            }
            _ => {}
        }
        let of = source.of_dataset()?;
        match self.dataset(of) {
            Some(d) if d.source.making() != Making::Pairs => None,
            Some(_) => Some(PairsError::NoUnits(of.to_owned())),
            None => Some(PairsError::NoSuchDataset(of.to_owned())),
        }
    }
}
