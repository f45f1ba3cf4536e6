//! What the datasets hold, counted while the token files are written.

use serde::{Deserialize, Serialize};

use super::selection::Use;
use crate::plan::count;

/// Tokens around the units of a sample: `<S>` at both ends.
pub(super) const EDGES: u64 = 2;

/// One split of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitStatistics {
    /// How many samples.
    pub samples: u64,
    /// Tokens of all of them, `<S>` included.
    pub tokens: u64,
    /// Units of the shortest.
    pub shortest: u64,
    /// Units of the longest.
    pub longest: u64,
}

impl SplitStatistics {
    fn count(&mut self, units: u64) {
        self.shortest = if self.samples == 0 { units } else { self.shortest.min(units) };
        self.longest = self.longest.max(units);
        self.samples += 1;
        self.tokens += units + EDGES;
    }
}

/// One dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Its name.
    pub name: String,
    /// What is trained on.
    pub train: SplitStatistics,
    /// What is held out.
    pub validation: SplitStatistics,
    /// Utterances left out because they are too short.
    pub too_short: u64,
    /// Utterances left out because they are too long.
    pub too_long: u64,
    /// Utterances of other splits.
    pub other_splits: u64,
    /// Units that occur in training samples.
    pub units_used: u64,
    /// Entropy of the units in training samples, in bits a unit: log2 of k if all are as frequent.
    pub unit_entropy: f64,
}

impl std::fmt::Display for Statistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, train, validation, .. } = self;
        write!(
            f,
            "{name}: {} samples, {} tokens (units: {} to {} a sample, {} in use, {:.2} bits each); {} samples \
             held out",
            train.samples,
            count(train.tokens as f64),
            train.shortest,
            train.longest,
            self.units_used,
            self.unit_entropy,
            validation.samples,
        )?;
        if self.too_short + self.too_long > 0 {
            write!(f, "; left out {} too short, {} too long", self.too_short, self.too_long)?;
        }
        Ok(())
    }
}

/// Counts a dataset's rows.
pub(super) struct Counter {
    statistics: Statistics,
    /// Occurrences of each unit.
    units: Vec<u64>,
}

impl Counter {
    pub(super) fn new(name: &str) -> Self {
        let statistics = Statistics { name: name.to_owned(), ..Statistics::default() };
        Self { statistics, units: Vec::new() }
    }

    pub(super) fn count(&mut self, chosen: Use, units: &[u16]) {
        let length = units.len() as u64;
        let s = &mut self.statistics;
        match chosen {
            Use::Train => {
                s.train.count(length);
                for &unit in units {
                    let unit = usize::from(unit);
                    if unit >= self.units.len() {
                        self.units.resize(unit + 1, 0);
                    }
                    self.units[unit] += 1;
                }
            }
            Use::Validation => s.validation.count(length),
            Use::TooShort => s.too_short += 1,
            Use::TooLong => s.too_long += 1,
            Use::OtherSplit => s.other_splits += 1,
        }
    }

    pub(super) fn finish(mut self) -> Statistics {
        let all = self.units.iter().sum::<u64>() as f64;
        let used = self.units.iter().filter(|n| **n > 0).map(|n| *n as f64 / all);
        let s = &mut self.statistics;
        (s.units_used, s.unit_entropy) =
            used.fold((0, 0.0), |(n, entropy), p| (n + 1, entropy - p * p.log2()));
        self.statistics
    }
}
