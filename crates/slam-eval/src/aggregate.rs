//! Scores of suites under a convention, with intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slam_dataset::schema::Score;

pub use crate::compare::{Comparison, Spread, compare, spread};
use crate::convention::{self, Weighting};
pub use crate::convention::{Compare, Convention, default_for};
use crate::interval::Clusters;

/// Frequency bands of sWUGGY: how often the word occurs in LibriSpeech, from the first number up to, but
/// not including, the second.
const BANDS: [(&str, u32, u32); 6] = [
    ("in-vocabulary", 1, u32::MAX),
    ("out of vocabulary", 0, 1),
    ("frequency 1–4", 1, 5),
    ("frequency 5–19", 5, 20),
    ("frequency 20–99", 20, 100),
    ("frequency ≥ 100", 100, u32::MAX),
];

/// The score of random guessing in every convention: a pair is won, lost or half won.
pub const CHANCE: f64 = 0.5;

/// A share of pairs won, with a 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The number of pairs, with every voice counted.
    pub pairs: usize,
    /// The number of items. The interval resamples items.
    pub items: usize,
    /// The number of pairs that are ties.
    pub ties: usize,
    /// The share of pairs won.
    pub share: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// A part of a suite and its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The name of the part, e.g. `frequency 1–4` or `agreement / noun`.
    pub name: String,
    /// Its score.
    pub accuracy: Accuracy,
}

/// A suite's score and the scores of its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteScore {
    /// The suite.
    pub suite: String,
    /// The convention of the score.
    pub convention: Convention,
    /// The score over the whole suite.
    pub all: Accuracy,
    /// The score of each kind (sBLIMP's types).
    pub kinds: BTreeMap<String, Accuracy>,
    /// The score of each kind's parts (sBLIMP's subtypes), sorted by name; empty if no kind has two.
    pub subkinds: Vec<Part>,
    /// The scores of words by frequency (sWUGGY); empty if frequencies are not known.
    pub bands: Vec<Part>,
}

/// Scores each suite, sorted by the suite's name. Uses `convention`, or, if it is `None`, the convention
/// that the suite's published scores follow.
pub fn summarise(scores: &[Score], convention: Option<Convention>) -> Vec<SuiteScore> {
    let mut suites: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        suites.entry(&score.item.suite).or_default().push(score);
    }
    suites
        .into_iter()
        .map(|(suite, scores)| {
            let convention = convention.unwrap_or_else(|| convention::default_for(suite));
            summarise_suite(suite, &scores, convention)
        })
        .collect()
}

fn summarise_suite(suite: &str, scores: &[&Score], convention: Convention) -> SuiteScore {
    let weighting = convention::weighting(convention, suite);
    // Within a part there are no kinds to weigh.
    let within = if weighting == Weighting::Kinds { Weighting::Pairs } else { weighting };
    let part = |scores: &[&Score]| accuracy(scores, convention, within);
    let mut kinds: BTreeMap<&str, BTreeMap<&str, Vec<&Score>>> = BTreeMap::new();
    for score in scores {
        let kind = kinds.entry(&score.item.kind).or_default();
        kind.entry(&score.item.subkind).or_default().push(score);
    }
    let all_of = |parts: &BTreeMap<&str, Vec<&Score>>| {
        part(&parts.values().flatten().copied().collect::<Vec<_>>())
    };
    let subkinds = if kinds.values().any(|parts| parts.len() > 1) {
        let each = kinds.iter().flat_map(|(kind, parts)| {
            parts.iter().map(move |(subkind, scores)| (format!("{kind} / {subkind}"), scores))
        });
        each.map(|(name, scores)| Part { name, accuracy: part(scores) }).collect()
    } else {
        vec![]
    };
    let bands = BANDS.iter().map(|(name, from, to)| {
        let inside = |s: &&&Score| s.item.frequency.is_some_and(|f| (*from..*to).contains(&f));
        (name, scores.iter().filter(inside).copied().collect::<Vec<_>>())
    });
    let bands = bands
        .filter(|(_, scores)| !scores.is_empty())
        .map(|(name, scores)| Part { name: (*name).to_owned(), accuracy: part(&scores) })
        .collect();
    SuiteScore {
        suite: suite.to_owned(),
        convention,
        all: accuracy(scores, convention, weighting),
        kinds: kinds.iter().map(|(kind, parts)| ((*kind).to_owned(), all_of(parts))).collect(),
        subkinds,
        bands,
    }
}

fn accuracy(scores: &[&Score], convention: Convention, weighting: Weighting) -> Accuracy {
    let values: Vec<f64> = scores.iter().map(|s| convention.pair(s)).collect();
    let clusters = Clusters::new(scores.iter().copied().zip(values.iter().copied()), weighting);
    let interval = clusters.interval();
    Accuracy {
        pairs: scores.len(),
        items: clusters.items(),
        ties: values.iter().filter(|v| **v == 0.5).count(),
        share: interval.mean,
        low: interval.low,
        high: interval.high,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_recipe::item::PairItem;

    fn score(id: usize, positive: f64, negative: f64) -> Score {
        Score {
            item: PairItem {
                suite: "s".into(),
                pair: id.to_string(),
                kind: if id.is_multiple_of(2) { "even" } else { "odd" }.into(),
                ..Default::default()
            },
            positive_nll: positive,
            negative_nll: negative,
            positive_tokens: 4,
            negative_tokens: 4,
            ..Default::default()
        }
    }

    fn spoken_by(voice: &str, mut score: Score) -> Score {
        score.item.voice = voice.to_owned();
        score
    }

    fn all(scores: &[Score], convention: Convention) -> Accuracy {
        summarise(scores, Some(convention)).remove(0).all
    }

    #[test]
    fn wins_ties_and_losses_count_one_half_and_nothing() {
        let scores =
            [score(0, 1.0, 2.0), score(1, 2.0, 2.0), score(2, 3.0, 2.0), score(3, 1.0, 2.0)];
        let summary = summarise(&scores, None);
        assert_eq!((summary.len(), summary[0].convention), (1, Convention::Slamkit));
        let a = &summary[0].all;
        assert_eq!((a.share, a.pairs, a.items, a.ties), (0.625, 4, 4, 1));
        assert_eq!(summary[0].kinds["even"].share, 0.5);
        assert_eq!(summary[0].kinds["odd"].share, 0.75);
        assert!(summary[0].bands.is_empty() && summary[0].subkinds.is_empty());
    }

    #[test]
    fn voices_weigh_by_convention() {
        // Item 0 has three voices, all won. Item 2 has one, lost.
        let mut scores = vec![score(2, 3.0, 2.0)];
        for voice in ["a", "b", "c"] {
            scores.push(spoken_by(voice, score(0, 1.0, 2.0)));
        }
        assert_eq!(all(&scores, Convention::Slamkit).share, 0.75);
        let a = all(&scores, Convention::Zerospeech);
        assert_eq!((a.share, a.items, a.pairs), (0.5, 2, 4));
    }

    #[test]
    fn slm_scaling_weighs_sblimps_phenomena_alike() {
        // One even item is won, three odd ones are lost.
        let mut scores = vec![score(0, 1.0, 2.0)];
        scores.extend([1, 3, 5].map(|id| score(id, 3.0, 2.0)));
        assert_eq!(all(&scores, Convention::SlmScaling).share, 0.25);
        for s in &mut scores {
            s.item.suite = "sblimp-dev".into();
        }
        assert_eq!(all(&scores, Convention::SlmScaling).share, 0.5);
    }

    #[test]
    fn bands_are_open_above() {
        let scores: Vec<_> = [0, 1, 4, 5, 19, 20, 99, 100, 7000]
            .into_iter()
            .enumerate()
            .map(|(i, f)| {
                let mut score = score(i, 1.0, 2.0);
                score.item.frequency = Some(f);
                score
            })
            .collect();
        let bands = summarise(&scores, None).remove(0).bands;
        let counts: Vec<_> = bands.iter().map(|b| b.accuracy.pairs).collect();
        assert_eq!(counts, [8, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn the_interval_is_that_of_a_binomial_share() {
        // 300 of 400 are won. The normal interval is .75 ± 1.96·√(.75·.25/400) = .708 to .792.
        let scores: Vec<_> =
            (0..400).map(|i| score(i, if i % 4 == 0 { 3.0 } else { 1.0 }, 2.0)).collect();
        let a = all(&scores, Convention::Slamkit);
        assert!((a.low - 0.708).abs() < 0.01 && (a.high - 0.792).abs() < 0.01, "{a:?}");
    }

    #[test]
    fn voices_of_an_item_are_one_piece_of_evidence() {
        // Four voices that always agree are no more evidence than one.
        let one: Vec<_> =
            (0..100).map(|i| score(i, if i % 4 == 0 { 3.0 } else { 1.0 }, 2.0)).collect();
        let four: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .flat_map(|v| one.iter().map(move |s| spoken_by(v, s.clone())))
            .collect();
        let (one, four) = (all(&one, Convention::Slamkit), all(&four, Convention::Slamkit));
        assert_eq!((one.low, one.high), (four.low, four.high));
    }
}
