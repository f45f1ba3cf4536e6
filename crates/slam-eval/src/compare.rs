//! Compares two models on the same items, and one recipe under several seeds.

use std::collections::BTreeMap;

use serde::Serialize;
use slam_dataset::schema::Score;
use slam_recipe::item::PairItem;

use crate::convention::{self, Compare, Convention};
use crate::interval::Clusters;

/// Two models compared on the pairs that both scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The number of pairs that both scored.
    pub pairs: usize,
    /// The number of items of these pairs. The interval resamples items.
    pub items: usize,
    /// The number of pairs that only the first scored. They do not count.
    pub only_first: usize,
    /// The number of pairs that only the second scored. They do not count.
    pub only_second: usize,
    /// The first model's score on these pairs.
    pub first: f64,
    /// The second model's score.
    pub second: f64,
    /// The second score minus the first.
    pub difference: f64,
    /// The lower end of the difference's 95 % interval.
    pub low: f64,
    /// The upper end of the difference's 95 % interval.
    pub high: f64,
    /// The number of pairs that the second does better on.
    pub won: usize,
    /// The number of pairs that the second does worse on.
    pub lost: usize,
}

impl Comparison {
    /// Returns whether the interval of the difference does not contain zero.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Compares two models pair by pair on a suite, with the weights of a convention. The interval is that of
/// the differences. It is narrower than the intervals of the two scores.
pub fn compare(
    first: &[Score],
    second: &[Score],
    suite: &str,
    convention: Convention,
) -> Comparison {
    let (a, b) = (pairs(first, suite, convention), pairs(second, suite, convention));
    let both: Vec<(&Score, f64, f64)> =
        b.iter().filter_map(|(key, (row, b))| Some((&second[*row], a.get(key)?.1, *b))).collect();
    let weighting = convention::weighting(convention, suite);
    let mean = |value: &dyn Fn(f64, f64) -> f64| {
        Clusters::new(both.iter().map(|(s, a, b)| (*s, value(*a, *b))), weighting)
    };
    let differences = mean(&|a, b| b - a);
    let interval = differences.interval();
    Comparison {
        pairs: both.len(),
        items: differences.items(),
        only_first: a.len() - both.len(),
        only_second: b.len() - both.len(),
        first: mean(&|a, _| a).mean(),
        second: mean(&|_, b| b).mean(),
        difference: interval.mean,
        low: interval.low,
        high: interval.high,
        won: both.iter().filter(|(_, a, b)| b > a).count(),
        lost: both.iter().filter(|(_, a, b)| b < a).count(),
    }
}

type PairKey<'a> = [&'a str; 4];

/// Returns a suite's pairs: the row and the value of each.
fn pairs<'a>(
    scores: &'a [Score],
    suite: &str,
    convention: Convention,
) -> BTreeMap<PairKey<'a>, (usize, f64)> {
    let rows = scores.iter().enumerate().filter(|(_, s)| s.item.suite == suite);
    rows.map(|(i, s)| {
        let PairItem { kind, subkind, pair, voice, .. } = &s.item;
        ([&**kind, &**subkind, &**pair, &**voice], (i, convention.pair(s)))
    })
    .collect()
}

/// How a figure varies over runs that differ only in their seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The number of runs.
    pub runs: usize,
    /// The mean of the figures.
    pub mean: f64,
    /// The sample standard deviation; `None` for one run.
    pub sd: Option<f64>,
    /// The lowest figure.
    pub min: f64,
    /// The highest figure.
    pub max: f64,
}

/// Returns the spread of the runs' figures, or `None` if there are none.
pub fn spread(values: &[f64]) -> Option<Spread> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some(Spread {
        runs: values.len(),
        mean,
        sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scores(count: usize, won: usize) -> Vec<Score> {
        (0..count)
            .map(|i| Score {
                item: PairItem { suite: "s".into(), pair: i.to_string(), ..Default::default() },
                positive_nll: if i < won { 1.0 } else { 3.0 },
                negative_nll: 2.0,
                ..Default::default()
            })
            .collect()
    }

    #[test]
    fn a_comparison_is_paired() {
        let d = compare(&scores(200, 100), &scores(210, 120), "s", Convention::Slamkit);
        assert_eq!((d.pairs, d.only_first, d.only_second), (200, 0, 10));
        assert_eq!((d.first, d.second), (0.5, 0.6));
        assert!((d.difference - 0.1).abs() < 1e-12);
        assert_eq!((d.won, d.lost), (20, 0));
        // Twenty of 200 differ, all in one direction: .1 ± 1.96·√(.1·.9/200). This is far narrower than the
        // intervals of two shares.
        assert!((d.low - 0.058).abs() < 0.01 && (d.high - 0.142).abs() < 0.01, "{d:?}");
        assert!(d.is_clear());
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let s = scores(50, 20);
        let d = compare(&s, &s, "s", Convention::Zerospeech);
        assert_eq!((d.difference, d.low, d.high, d.is_clear()), (0.0, 0.0, 0.0, false));
    }

    #[test]
    fn seeds_have_a_spread() {
        let s = spread(&[0.5, 0.6, 0.7]).unwrap();
        assert!((s.mean - 0.6).abs() < 1e-12 && (s.sd.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!((s.min, s.max, s.runs), (0.5, 0.7, 3));
        assert_eq!(spread(&[0.5]).unwrap().sd, None);
        assert_eq!(spread(&[]), None);
    }
}
