//! The demo's texts: stories from a small seeded grammar, preference pairs and three test suites.
//!
//! Everything is a pure function of (seed, part, row). A hash of the words decides which word combinations
//! are held out of the training stories. Test items use only held-out combinations, so no test item occurs
//! in training.

mod items;
mod lexicon;
mod story;

use slam_dataset::rng::Rng;
use slam_recipe::item::{BenchmarkItem, Item, PairSegment, Segment, Side};
use slam_recipe::source::Part;

use items::Contrast;
use story::{Plan, Pool};

/// One row in this many is a validation story.
const VALIDATION: u64 = 40;

/// A text to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The utterance's id.
    pub id: String,
    /// The text to say.
    pub text: String,
    /// `train`, `validation`, `preference` or `test`.
    pub split: &'static str,
    /// What the utterance is for; none of a story.
    pub item: Option<Item>,
}

impl Line {
    fn of(item: Item, text: String, split: &'static str) -> Self {
        Self { id: item.utterance_id(), text, split, item: Some(item) }
    }
}

/// Returns the texts of one row of a part.
pub fn row(part: Part, seed: u64, voice: &str, row: u64) -> Vec<Line> {
    // Each part has its own streams, so more training stories never change a test item.
    let seed = Rng::derive(seed, &[part as u64]).next_u64();
    match part {
        Part::Stories => {
            let (wanted, split) = if row % VALIDATION == VALIDATION - 1 {
                (Pool::HeldOut, "validation")
            } else {
                (Pool::Train, "train")
            };
            let story = Plan::draw(&mut Rng::derive(seed, &[row]), wanted);
            let text = format!("{} {}", story.body(), story.ending(story.ending_variant()));
            vec![Line { id: format!("story-{row:06}"), text, split, item: None }]
        }
        Part::Preference => {
            let pair = items::endings(seed, row);
            [
                (Segment::Prompt, pair.body),
                (Segment::Chosen, pair.right),
                (Segment::Rejected, pair.wrong),
            ]
            .map(|(segment, text)| {
                let segment = PairSegment { pair: format!("pair-{row:06}"), segment };
                Line::of(Item::Pair(segment), text, "preference")
            })
            .into()
        }
        Part::Lexical => pair("lexical", voice, row, items::lexical(seed, row)),
        Part::Syntactic => pair("syntactic", voice, row, items::syntactic(seed, row)),
        Part::Cloze => {
            let e = items::endings(seed, row);
            let text = |ending: &str| format!("{} {ending}", e.body);
            let contrast =
                Contrast { kind: "ending", positive: text(&e.right), negative: text(&e.wrong) };
            pair("cloze", voice, row, contrast)
        }
    }
}

fn pair(suite: &str, voice: &str, row: u64, contrast: Contrast) -> Vec<Line> {
    [(Side::Positive, contrast.positive), (Side::Negative, contrast.negative)]
        .map(|(side, text)| {
            let item = BenchmarkItem {
                suite: suite.to_owned(),
                pair: format!("{row:05}"),
                voice: voice.to_owned(),
                kind: contrast.kind.to_owned(),
                subkind: String::new(),
                frequency: None,
                side,
                file: None,
            };
            Line::of(Item::Benchmark(item), text, "test")
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn sentences(text: &str) -> impl Iterator<Item = &str> {
        text.split_inclusive('.').map(str::trim)
    }

    fn texts(part: Part, rows: u64) -> Vec<Line> {
        (0..rows).flat_map(|r| row(part, 1, "en", r)).collect()
    }

    #[test]
    fn no_test_item_occurs_in_training() {
        let train: Vec<_> =
            texts(Part::Stories, 4000).into_iter().filter(|l| l.split == "train").collect();
        let stories: BTreeSet<&str> = train.iter().map(|l| l.text.as_str()).collect();
        let spoken: BTreeSet<&str> = train.iter().flat_map(|l| sentences(&l.text)).collect();
        for line in texts(Part::Syntactic, 500) {
            assert!(!spoken.contains(line.text.as_str()), "{}", line.text);
        }
        for line in texts(Part::Lexical, 400) {
            assert!(!spoken.contains(line.text.as_str()), "{}", line.text);
        }
        for line in texts(Part::Cloze, 400) {
            assert!(!stories.contains(line.text.as_str()), "{}", line.text);
        }
    }

    #[test]
    fn preference_pairs_are_no_test_items() {
        let test: BTreeSet<String> = texts(Part::Cloze, 400).into_iter().map(|l| l.text).collect();
        for lines in texts(Part::Preference, 1000).chunks(3) {
            for ending in &lines[1..] {
                assert!(!test.contains(&format!("{} {}", lines[0].text, ending.text)));
            }
        }
    }

    #[test]
    fn items_are_distinct_and_their_sides_differ() {
        for part in [Part::Lexical, Part::Syntactic, Part::Cloze] {
            let mut ids = BTreeSet::new();
            let mut pairs = BTreeSet::new();
            for lines in texts(part, 300).chunks(2) {
                assert_ne!(lines[0].text, lines[1].text);
                assert!(ids.insert(lines[0].id.clone()) && ids.insert(lines[1].id.clone()));
                pairs.insert((lines[0].text.clone(), lines[1].text.clone()));
            }
            assert!(pairs.len() >= 270, "{part:?}: {} distinct pairs of 300", pairs.len());
        }
    }

    #[test]
    fn a_row_is_a_function_of_its_seed_and_number() {
        assert_eq!(row(Part::Cloze, 1, "en", 5), row(Part::Cloze, 1, "en", 5));
        assert_ne!(row(Part::Cloze, 1, "en", 5), row(Part::Cloze, 2, "en", 5));
    }
}
