//! How often each dataset is read in an epoch.

use std::ops::Range;

use slam_dataset::rng::Rng;
pub use slam_recipe::training::Mixture;

use super::statistics::Statistics;
use crate::config_error::{ConfigError, Wanted, within};

/// Keeps the streams that choose samples apart from those that order them.
const CHOICE: u64 = 0x6d69_7874;

/// How often each dataset is read in an epoch.
///
/// # Errors
/// If a name is none of the datasets', a weight is missing or negative, or nothing is left to read.
pub(crate) fn rates(mixture: &Mixture, datasets: &[Statistics]) -> Result<Vec<f64>, ConfigError> {
    let (Mixture::Repetitions(named) | Mixture::Weights(named)) = mixture;
    for (name, value) in named {
        if !datasets.iter().any(|d| d.name == *name) {
            let known = datasets.iter().map(|d| d.name.clone()).collect();
            return Err(ConfigError::UnknownDataset { name: name.clone(), known });
        }
        within(&format!("mixture: {name}"), *value, Wanted::AtLeast(0.0))?;
    }
    let rates: Vec<f64> = match mixture {
        Mixture::Repetitions(named) => {
            datasets.iter().map(|d| named.get(&d.name).copied().unwrap_or(1.0)).collect()
        }
        Mixture::Weights(named) => {
            if let Some(d) = datasets.iter().find(|d| !named.contains_key(&d.name)) {
                return Err(ConfigError::NoWeight { name: d.name.clone() });
            }
            let sum: f64 = named.values().sum();
            let all: f64 = datasets.iter().map(|d| d.train.tokens as f64).sum();
            let rate = |d: &Statistics| match d.train.tokens {
                0 => 0.0,
                tokens => named[&d.name] / sum.max(f64::MIN_POSITIVE) * all / tokens as f64,
            };
            datasets.iter().map(rate).collect()
        }
    };
    let read = datasets.iter().zip(&rates).any(|(d, r)| d.train.samples > 0 && *r > 0.0);
    if read { Ok(rates) } else { Err(ConfigError::NothingMixed) }
}

/// Samples of one dataset that an epoch reads, in no order that matters: a stretch of an endless row of
/// permutations, so that over the epochs every sample is read as often as every other.
pub(crate) fn choose(
    samples: Range<usize>,
    rate: f64,
    seed: u64,
    dataset: u64,
    epoch: u64,
) -> Vec<usize> {
    let n = samples.len() as u64;
    let at = |epoch: u64| (epoch as f64 * rate * n as f64).round() as u64;
    let (mut from, to) = (at(epoch), at(epoch + 1));
    let mut out = Vec::with_capacity((to - from) as usize);
    while n > 0 && from < to {
        let (round, within) = (from / n, from % n);
        let end = (round * n + n).min(to);
        if end - from == n {
            out.extend(samples.clone());
        } else {
            let mut order: Vec<usize> = samples.clone().collect();
            Rng::derive(seed, &[CHOICE, dataset, round]).shuffle(&mut order);
            out.extend(&order[within as usize..(within + end - from) as usize]);
        }
        from = end;
    }
    out
}
