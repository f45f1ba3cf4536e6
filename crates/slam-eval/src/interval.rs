//! Bootstrap intervals over items.

use std::collections::BTreeMap;

use rayon::prelude::*;
use slam_dataset::rng::Rng;
use slam_dataset::schema::Score;

use crate::convention::Weighting;

/// Resamples of an interval.
const RESAMPLES: u64 = 2000;
/// The seed of all intervals: the same scores give the same interval.
const SEED: u64 = 95;

/// The mean of values that are independent of each other, with its interval.
pub(crate) fn of_mean(values: &[f64]) -> Interval {
    if values.is_empty() {
        return Clusters { strata: vec![] }.interval();
    }
    Clusters { strata: vec![values.iter().map(|v| (*v, 1.0)).collect()] }.interval()
}

/// Items of a group of pairs. An item is one cluster, as its voices are no independent evidence; each is
/// its sum of values and what it counts for.
pub(crate) struct Clusters {
    /// Strata that count the same; one, unless kinds do.
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
    /// Clusters of scores and their values.
    pub(crate) fn of<'a>(
        values: impl IntoIterator<Item = (&'a Score, f64)>,
        weighting: Weighting,
    ) -> Self {
        let mut strata: BTreeMap<&str, BTreeMap<[&str; 3], (f64, f64)>> = BTreeMap::new();
        for (s, value) in values {
            let stratum = if weighting == Weighting::Kinds { s.kind.as_str() } else { "" };
            // Ids are unique within a phenomenon only (slamkit's folders number anew in each).
            let item = strata.entry(stratum).or_default();
            let item = item.entry([&s.kind, &s.subkind, &s.id]).or_default();
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

    /// How many items there are.
    pub(crate) fn items(&self) -> usize {
        self.strata.iter().map(Vec::len).sum()
    }

    /// The mean alone.
    pub(crate) fn mean(&self) -> f64 {
        let ratio = |s: &Vec<(f64, f64)>| {
            let (sum, count) = s.iter().fold((0.0, 0.0), |a, c| (a.0 + c.0, a.1 + c.1));
            sum / count
        };
        self.strata.iter().map(ratio).sum::<f64>() / self.strata.len() as f64
    }

    /// The mean, and its 95 % percentile interval (Efron 1979) with whole clusters drawn within strata.
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
