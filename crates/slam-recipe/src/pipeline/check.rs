//! Whether the parts of a pipeline fit together.

use std::ops::RangeInclusive;

use super::fault::{PairsError, PipelineFault};
use super::{Dataset, Pipeline, PipelineError, PreferenceOptimisation, Role};
use crate::source::{Making, Source};
use crate::tokeniser::{FeatureConfig, KMeansConfig};

/// How many shards a dataset may be cut into: their names have five digits.
const SHARDS: RangeInclusive<u32> = 1..=99_999;

/// Whether a name can be that of a folder in a data root, and of nothing else there.
fn names_a_folder(name: &str) -> bool {
    let first = name.chars().next();
    let bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
    first.is_some_and(char::is_alphanumeric) && !name.contains(bad) && name != crate::Lock::NAME
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

    /// Checks each dataset by itself: a command may have put others in the place of those that training names.
    ///
    /// # Errors
    /// With the first fault.
    pub fn check_datasets(&self) -> Result<(), PipelineError> {
        self.find_dataset_fault().map_or(Ok(()), |fault| {
            Err(PipelineError::Fault { pipeline: self.name.clone(), fault: Box::new(fault) })
        })
    }

    fn find_dataset_fault(&self) -> Option<PipelineFault> {
        let datasets = self.datasets.iter().map(|d| ("dataset", &d.name));
        for (what, name) in datasets.chain([("tokeniser", &self.tokeniser.name)]) {
            if !names_a_folder(name) {
                return Some(PipelineFault::Name { what, name: name.clone() });
            }
        }
        let tokeniser = &self.tokeniser;
        if let FeatureConfig::Mfcc(config) = &tokeniser.features
            && let Err(e) = config.check()
        {
            return Some(PipelineFault::Features(e));
        }
        if !KMeansConfig::CENTROIDS.contains(&tokeniser.kmeans.k) {
            return Some(PipelineFault::Centroid(tokeniser.kmeans.k));
        }
        if let Some(d) = self.datasets.iter().find(|d| !SHARDS.contains(&d.shards)) {
            return Some(PipelineFault::Shards { dataset: d.name.clone(), shards: d.shards });
        }
        let scored = |d: &&Dataset| d.role == Role::Benchmark;
        let fit_on = tokeniser.fit_on.as_ref().and_then(|name| self.dataset(name));
        if let Some(d) = fit_on.filter(scored) {
            return Some(PipelineFault::FitOn { dataset: d.name.clone() });
        }
        let held_out = |d: &Dataset| match &d.source {
            Source::Folder(s) => Some(s.validation_percent),
            Source::Manifest(s) => s.validation_percent,
            Source::LibriLight(s) => Some(s.validation_percent),
            _ => None,
        };
        let too_much = |d: &&Dataset| held_out(d).is_some_and(|p| !(0.0..=100.0).contains(&p));
        if let Some(d) = self.datasets.iter().find(too_much) {
            return Some(PipelineFault::Percent { dataset: d.name.clone() });
        }
        let bad = |d: &&Dataset| d.max_seconds.is_some_and(|s| !s.is_finite() || s < 0.0);
        let dataset = self.datasets.iter().find(bad)?.name.clone();
        Some(PipelineFault::Seconds { dataset })
    }

    fn find_fault(&self) -> Option<PipelineFault> {
        if let Some(fault) = self.find_dataset_fault() {
            return Some(fault);
        }
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
