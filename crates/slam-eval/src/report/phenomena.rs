//! Bars: the score of each part of each suite, with its interval, against chance.

use serde::Serialize;

use crate::aggregate::{Accuracy, SuiteScore};

/// A suite's parts as bars.
#[derive(Serialize)]
pub(super) struct Bars {
    suite: String,
    bars: Vec<Bar>,
}

/// One part. Positions are in percent of the bar's track, which runs from 0 to 100 % of pairs won.
#[derive(Serialize)]
struct Bar {
    name: String,
    pairs: usize,
    share: f64,
    low: f64,
    high: f64,
    /// Where the interval lies: above chance, below it, or neither.
    side: &'static str,
}

impl Bar {
    fn new(name: &str, a: &Accuracy) -> Self {
        let side = if a.low > crate::aggregate::CHANCE {
            "above"
        } else if a.high < crate::aggregate::CHANCE {
            "below"
        } else {
            "chance"
        };
        let [share, low, high] = [a.share, a.low, a.high].map(|v| 100.0 * v);
        Self { name: name.to_owned(), pairs: a.pairs, share, low, high, side }
    }
}

/// Returns the parts of each suite that has parts: phenomena, their parts, and bands of frequency.
pub(super) fn bars(suites: &[SuiteScore]) -> Vec<Bars> {
    let of = |s: &SuiteScore| {
        let mut bars: Vec<Bar> = Vec::new();
        if s.kinds.len() > 1 {
            bars.extend(s.kinds.iter().map(|(name, a)| Bar::new(name, a)));
        }
        bars.extend(s.bands.iter().map(|p| Bar::new(&p.name, &p.accuracy)));
        bars.extend(s.subkinds.iter().map(|p| Bar::new(&p.name, &p.accuracy)));
        Bars { suite: s.suite.clone(), bars }
    };
    suites.iter().map(of).filter(|b| !b.bars.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
    use slam_dataset::schema::Score;
    use slam_recipe::item::PairItem;

    #[test]
    fn a_bar_says_on_which_side_of_chance_its_interval_lies() {
        let scores: Vec<_> = (0..300)
            .map(|i| {
                let kind = ["easy", "hard", "even"][i % 3];
                let won = match kind {
                    "easy" => true,
                    "hard" => false,
                    _ => i % 2 == 0,
                };
                Score {
                    item: PairItem {
                        suite: "s".into(),
                        pair: i.to_string(),
                        kind: kind.into(),
                        ..Default::default()
                    },
                    positive_nll: if won { 1.0 } else { 3.0 },
                    negative_nll: 2.0,
                    ..Default::default()
                }
            })
            .collect();
        let bars = bars(&summarise(&scores, None));
        let sides: Vec<_> = bars[0].bars.iter().map(|b| (b.name.as_str(), b.side)).collect();
        assert_eq!(sides, [("easy", "above"), ("even", "chance"), ("hard", "below")]);
    }
}
