//! Scores of suites, with intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slam_dataset::rng::Rng;
use slam_dataset::schema::Score;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2000;

/// What a pair's likelihoods are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Mean negative log-likelihood over units and the final `<S>`; 1 for a win, ½ for a tie.
    #[default]
    Slamkit,
    /// The same without the final `<S>`.
    SlmScaling,
}

impl Convention {
    /// The positive's and the negative's score; the lower is the likelier.
    fn values(self, s: &Score) -> (f64, f64) {
        let mean = |sum: f64, eos: f64, tokens: u32| match self {
            Self::Slamkit => (sum + eos) / (f64::from(tokens) + 1.0),
            Self::SlmScaling => sum / f64::from(tokens.max(1)),
        };
        (
            mean(s.positive_nll, s.positive_eos_nll, s.positive_tokens),
            mean(s.negative_nll, s.negative_eos_nll, s.negative_tokens),
        )
    }

    /// 1 where the positive is likelier, 0 where the negative is, ½ for a tie.
    pub fn pair(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        if positive < negative {
            1.0
        } else if positive > negative {
            0.0
        } else {
            0.5
        }
    }

    /// How much likelier the positive is, in nats a token.
    pub fn margin(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        negative - positive
    }
}

/// A share of pairs won, with a 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Pairs.
    pub pairs: usize,
    /// The share won.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A suite's score and those of its kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteScore {
    /// The suite.
    pub suite: String,
    /// Over all pairs.
    pub all: Accuracy,
    /// Over the pairs of each kind.
    pub kinds: BTreeMap<String, Accuracy>,
}

/// Scores each suite of some scores, in the suites' order of names.
pub fn summarise(scores: &[Score], convention: Convention) -> Vec<SuiteScore> {
    let mut suites: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        suites.entry(&score.suite).or_default().push(score);
    }
    suites
        .into_iter()
        .map(|(suite, scores)| {
            let mut kinds: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
            for score in &scores {
                kinds.entry(&score.kind).or_default().push(score);
            }
            SuiteScore {
                suite: suite.to_owned(),
                all: accuracy(&scores, convention),
                kinds: kinds
                    .into_iter()
                    .map(|(kind, scores)| (kind.to_owned(), accuracy(&scores, convention)))
                    .collect(),
            }
        })
        .collect()
}

/// Wins by item: the voices of an item are one cluster, as they are no independent evidence.
fn clusters(scores: &[&Score], value: impl Fn(&Score) -> f64) -> Vec<(f64, f64)> {
    let mut items: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for score in scores {
        let item = items.entry(&score.id).or_default();
        item.0 += value(score);
        item.1 += 1.0;
    }
    items.into_values().collect()
}

fn accuracy(scores: &[&Score], convention: Convention) -> Accuracy {
    let (share, low, high) = bootstrap(&clusters(scores, |s| convention.pair(s)));
    Accuracy { pairs: scores.len(), share, low, high }
}

/// The mean over clusters of (sum, count), and its 95 % percentile bootstrap interval (Efron, 1979) with
/// whole clusters drawn, by a fixed seed.
fn bootstrap(clusters: &[(f64, f64)]) -> (f64, f64, f64) {
    let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { f64::NAN };
    let total = clusters.iter().fold((0.0, 0.0), |a, c| (a.0 + c.0, a.1 + c.1));
    if clusters.is_empty() {
        return (f64::NAN, f64::NAN, f64::NAN);
    }
    let mut rng = Rng::new(95);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sum, mut count) = (0.0, 0.0);
            for _ in 0..clusters.len() {
                let c = rng.pick(clusters);
                sum += c.0;
                count += c.1;
            }
            mean(sum, count)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |q: f64| means[((RESAMPLES - 1) as f64 * q).round() as usize];
    (mean(total.0, total.1), at(0.025), at(0.975))
}

/// The difference of two models on the same items of a suite, second minus first, with a 95 % interval;
/// items that only one of them scored do not count.
pub fn compare(first: &[Score], second: &[Score], suite: &str, convention: Convention) -> Accuracy {
    let of = |scores: &[Score]| -> BTreeMap<(String, String), f64> {
        scores
            .iter()
            .filter(|s| s.suite == suite)
            .map(|s| ((s.id.clone(), s.voice.clone()), convention.pair(s)))
            .collect()
    };
    let (first, second) = (of(first), of(second));
    let mut items: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (key, b) in &second {
        if let Some(a) = first.get(key) {
            let item = items.entry(&key.0).or_default();
            item.0 += b - a;
            item.1 += 1.0;
        }
    }
    let pairs = items.values().map(|c| c.1 as usize).sum();
    let (share, low, high) = bootstrap(&items.into_values().collect::<Vec<_>>());
    Accuracy { pairs, share, low, high }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn score(id: usize, positive: f64, negative: f64) -> Score {
        Score {
            suite: "s".into(),
            id: id.to_string(),
            kind: if id.is_multiple_of(2) { "even" } else { "odd" }.into(),
            positive_nll: positive,
            negative_nll: negative,
            positive_tokens: 4,
            negative_tokens: 4,
            ..Default::default()
        }
    }

    #[test]
    fn wins_ties_and_losses_count_one_half_and_nothing() {
        let scores =
            [score(0, 1.0, 2.0), score(1, 2.0, 2.0), score(2, 3.0, 2.0), score(3, 1.0, 2.0)];
        let summary = summarise(&scores, Convention::Slamkit);
        assert_eq!(summary.len(), 1);
        assert_eq!((summary[0].all.share, summary[0].all.pairs), (0.625, 4));
        assert_eq!(summary[0].kinds["even"].share, 0.5);
        assert_eq!(summary[0].kinds["odd"].share, 0.75);
    }

    #[test]
    fn the_conventions_differ_in_the_end_token() {
        let mut s = score(0, 4.0, 5.0);
        s.positive_eos_nll = 10.0;
        assert_eq!(Convention::SlmScaling.pair(&s), 1.0);
        assert_eq!(Convention::Slamkit.pair(&s), 0.0);
    }

    #[test]
    fn the_interval_is_that_of_a_binomial_share() {
        // 300 of 400: the normal interval is .75 ± 1.96·√(.75·.25/400) = .708 to .792.
        let scores: Vec<_> =
            (0..400).map(|i| score(i, if i % 4 == 0 { 3.0 } else { 1.0 }, 2.0)).collect();
        let all = &summarise(&scores, Convention::Slamkit)[0].all;
        assert!((all.low - 0.708).abs() < 0.01 && (all.high - 0.792).abs() < 0.01, "{all:?}");
    }

    #[test]
    fn a_comparison_is_paired() {
        let first: Vec<_> =
            (0..200).map(|i| score(i, if i < 100 { 1.0 } else { 3.0 }, 2.0)).collect();
        let second: Vec<_> =
            (0..200).map(|i| score(i, if i < 120 { 1.0 } else { 3.0 }, 2.0)).collect();
        let d = compare(&first, &second, "s", Convention::Slamkit);
        assert_eq!((d.pairs, d.share), (200, 0.1));
        assert!(d.low > 0.05 && d.high < 0.15);
    }
}
