//! Bootstrap intervals over items.

use std::collections::BTreeMap;

use rayon::prelude::*;
use slam_dataset::rng::Rng;
use slam_dataset::schema::Score;

use crate::convention::Weighting;

/// The number of resamples of an interval.
const RESAMPLES: u64 = 2000;
/// The seed of all intervals, so that the same scores give the same interval.
const SEED: u64 = 95;

/// Returns the mean of independent values, with its interval.
pub(crate) fn of_mean(values: &[f64]) -> Interval {
    if values.is_empty() {
        return Clusters { strata: vec![] }.interval();
    }
    Clusters { strata: vec![values.iter().map(|v| (*v, 1.0)).collect()] }.interval()
}

/// The items of a group of pairs. An item is one cluster, because its voices are not independent evidence.
/// Each cluster is the sum of its values and its weight.
pub(crate) struct Clusters {
    /// Strata with equal weight. There is one stratum, unless the weighting is by kinds.
    strata: Vec<Vec<(f64, f64)>>,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Clusters {
    /// Makes clusters from scores and their values.
    pub(crate) fn new<'a>(
        values: impl IntoIterator<Item = (&'a Score, f64)>,
        weighting: Weighting,
    ) -> Self {
        let mut strata: BTreeMap<&str, BTreeMap<[&str; 3], (f64, f64)>> = BTreeMap::new();
        for (s, value) in values {
            let stratum = if weighting == Weighting::Kinds { s.item.kind.as_str() } else { "" };
            // Ids are unique only within a phenomenon: slamkit's folders start numbering again in each.
            let item = strata.entry(stratum).or_default();
            let item = item.entry([&s.item.kind, &s.item.subkind, &s.item.pair]).or_default();
            item.0 += value;
            item.1 += 1.0;
        }
        let cluster = |(sum, count): (f64, f64)| match weighting {
            Weighting::Items => (sum / count, 1.0),
            Weighting::Pairs | Weighting::Kinds => (sum, count),
        };
        Self {
            strata: strata
                .into_values()
                .map(|items| items.into_values().map(cluster).collect())
                .collect(),
        }
    }

    /// Returns the number of items.
    pub(crate) fn items(&self) -> usize {
        self.strata.iter().map(Vec::len).sum()
    }

    /// Returns only the mean.
    pub(crate) fn mean(&self) -> f64 {
        let ratio = |s: &Vec<(f64, f64)>| {
            let (sum, count) = s.iter().fold((0.0, 0.0), |a, c| (a.0 + c.0, a.1 + c.1));
            sum / count
        };
        self.strata.iter().map(ratio).sum::<f64>() / self.strata.len() as f64
    }

    /// Returns the mean and its 95 % percentile interval (Efron 1979). Whole clusters are drawn within
    /// strata.
    pub(crate) fn interval(&self) -> Interval {
        if self.strata.is_empty() {
            return Interval { mean: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        let mut means: Vec<f64> = (0..RESAMPLES)
            .into_par_iter()
            .map(|i| {
                let mut rng = Rng::derive(SEED, &[i]);
                let strata = self.strata.iter().map(|stratum| {
                    let (mut sum, mut count) = (0.0, 0.0);
                    for _ in 0..stratum.len() {
                        let cluster = rng.pick(stratum);
                        sum += cluster.0;
                        count += cluster.1;
                    }
                    sum / count
                });
                strata.sum::<f64>() / self.strata.len() as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |q: f64| means[((means.len() - 1) as f64 * q).round() as usize];
        Interval { mean: self.mean(), low: at(0.025), high: at(0.975) }
    }
}
