//! Cuts a sequence into prompt and continuation.

use serde::{Deserialize, Serialize};
use slam_dataset::rng::Rng;
use slam_dataset::schema::{UnitSequence, Word};

use crate::shard::Segment;

/// Says how sequences are cut. If a sequence's words are known, it is cut after a word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cut {
    /// The share of a sequence that is its prompt, drawn uniformly between these two values.
    pub prompt_share: (f64, f64),
    /// The most units of a prompt. The last units are kept; 0 keeps all.
    pub max_prompt_units: usize,
    /// The fewest units of a prompt. Sequences with shorter prompts are left out.
    pub min_prompt_units: usize,
    /// The most units of a continuation. The first units are kept; 0 keeps all.
    pub max_continuation_units: usize,
    /// The fewest units of a continuation. Sequences with shorter continuations are left out.
    pub min_continuation_units: usize,
}

impl Default for Cut {
    /// The prompt is about half of a sequence. Both parts have about a second of speech or more; a
    /// continuation has up to ten seconds.
    fn default() -> Self {
        Self {
            prompt_share: (0.4, 0.6),
            max_prompt_units: 500,
            min_prompt_units: 20,
            max_continuation_units: 200,
            min_continuation_units: 20,
        }
    }
}

/// The position where a sequence is cut.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The index of the first unit of the continuation.
    at: usize,
    /// The number of words spoken before it, if words are known.
    words: Option<usize>,
    /// The number of units that the continuation may have.
    pub(super) continuation: usize,
}

impl Cut {
    pub(super) fn check(&self) -> Result<(), String> {
        let (low, high) = self.prompt_share;
        if !(low > 0.0 && low <= high && high < 1.0) {
            return Err(
                "cut.prompt_share must be two shares between 0 and 1, the lower first".into()
            );
        }
        for (name, min, max) in [
            ("prompt", self.min_prompt_units, self.max_prompt_units),
            ("continuation", self.min_continuation_units, self.max_continuation_units),
        ] {
            if min == 0 || (max > 0 && max < min) {
                return Err(format!(
                    "cut.min_{name}_units must be at least 1 and at most max_{name}_units"
                ));
            }
        }
        Ok(())
    }

    /// Returns where a sequence is cut, or `None` if a part would be too short.
    pub(super) fn place(&self, row: &UnitSequence, rate: f64, rng: &mut Rng) -> Option<Place> {
        let (low, high) = self.prompt_share;
        let share = low + rng.uniform() * (high - low);
        let mut at = (share * row.units.len() as f64).round() as usize;
        let mut words = None;
        if let Some(known) = row.words.as_deref().filter(|w| !w.is_empty()) {
            let end = seconds_before(row, at, rate);
            let behind = |w: &&Word| f64::from(w.end) <= end;
            let said = known.iter().take_while(behind).count();
            let last = said.checked_sub(1).map(|i| f64::from(known[i].end))?;
            at = units_until(row, last, rate);
            words = Some(said);
        }
        let left = row.units.len().checked_sub(at)?;
        let continuation = match self.max_continuation_units {
            0 => left,
            most => left.min(most),
        };
        (at >= self.min_prompt_units && continuation >= self.min_continuation_units)
            .then_some(Place { at, words, continuation })
    }

    /// Returns the sequence's prompt.
    pub(super) fn prompt(&self, row: &UnitSequence, place: &Place, rate: f64) -> Segment {
        let first = match self.max_prompt_units {
            0 => 0,
            most => place.at.saturating_sub(most),
        };
        let text = place.words.and_then(|end| {
            let start = seconds_before(row, first, rate);
            let words = row.words.as_deref()?.get(..end)?;
            Some(join(words.iter().filter(|w| f64::from(w.start) >= start)))
        });
        Segment { units: row.units[first..place.at].to_vec(), text }
    }

    /// Returns the first `length` units of the sequence's continuation.
    pub(super) fn continuation(
        row: &UnitSequence,
        place: &Place,
        length: usize,
        rate: f64,
    ) -> Segment {
        let end = (place.at + length).min(row.units.len());
        let text = place.words.and_then(|start| {
            let until = seconds_before(row, end, rate);
            let words = row.words.as_deref()?.get(start..)?;
            Some(join(words.iter().take_while(|w| f64::from(w.end) <= until)))
        });
        Segment { units: row.units[place.at..end].to_vec(), text }
    }
}

fn join<'a>(words: impl Iterator<Item = &'a Word>) -> String {
    words.map(|w| w.word.as_str()).collect::<Vec<_>>().join(" ")
}

/// Returns the seconds that the first `units` units last.
fn seconds_before(row: &UnitSequence, units: usize, rate: f64) -> f64 {
    row.durations.iter().take(units).map(|d| f64::from(*d)).sum::<f64>() / rate
}

/// Returns how many units have ended, or are in their second half, at the given time.
fn units_until(row: &UnitSequence, seconds: f64, rate: f64) -> usize {
    let mut end = 0.0;
    row.durations
        .iter()
        .take_while(|d| {
            let middle = end + f64::from(**d) / 2.0;
            end += f64::from(**d);
            middle <= seconds * rate
        })
        .count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(words: Option<Vec<Word>>) -> UnitSequence {
        UnitSequence {
            id: "a".into(),
            units: (0..100).collect(),
            durations: vec![2; 100],
            words,
            ..Default::default()
        }
    }

    #[test]
    fn a_sequence_is_cut_at_a_share_of_it() {
        let cut = Cut { prompt_share: (0.5, 0.5), max_prompt_units: 30, ..Default::default() };
        let row = row(None);
        let place = cut.place(&row, 25.0, &mut Rng::new(1)).unwrap();
        assert_eq!(cut.prompt(&row, &place, 25.0).units, (20..50).collect::<Vec<_>>());
        let rest = Cut::continuation(&row, &place, place.continuation, 25.0);
        assert_eq!((rest.units, rest.text), ((50..100).collect::<Vec<_>>(), None));
        let short = Cut { min_continuation_units: 51, ..cut };
        assert!(short.place(&row, 25.0, &mut Rng::new(1)).is_none());
    }

    #[test]
    fn known_words_stay_whole_and_give_the_texts() {
        // Each word lasts a second. There are 25 frames a second and two frames a unit, so a word has 12.5
        // units.
        let words = (0..8)
            .map(|i| Word { word: format!("w{i}"), start: i as f32, end: i as f32 + 0.9 })
            .collect();
        let row = row(Some(words));
        let cut = Cut { prompt_share: (0.5, 0.5), ..Default::default() };
        let place = cut.place(&row, 25.0, &mut Rng::new(1)).unwrap();
        let prompt = cut.prompt(&row, &place, 25.0);
        // Half is 4 s. The fourth word ended at 3.9 s, which is unit 48.75.
        assert_eq!((prompt.units.len(), prompt.text.as_deref()), (49, Some("w0 w1 w2 w3")));
        let rest = Cut::continuation(&row, &place, 26, 25.0);
        assert_eq!((rest.units.len(), rest.text.as_deref()), (26, Some("w4 w5")));
    }

    #[test]
    fn impossible_cuts_are_refused() {
        for cut in [
            Cut { prompt_share: (0.6, 0.4), ..Default::default() },
            Cut { prompt_share: (0.0, 0.4), ..Default::default() },
            Cut { min_prompt_units: 0, ..Default::default() },
            Cut { max_continuation_units: 3, ..Default::default() },
        ] {
            assert!(cut.check().is_err(), "{cut:?}");
        }
        assert!(Cut::default().check().is_ok());
    }
}
