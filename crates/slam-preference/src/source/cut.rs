//! Cuts a sequence into prompt and continuation.

use slam_dataset::rng::Rng;
use slam_dataset::schema::{UnitSequence, Word};
use slam_recipe::source::Cut;

use crate::shard::Segment;

/// A sequence and where it is cut.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The index of the first unit of the continuation.
    at: usize,
    /// The number of words spoken before it, if words are known.
    words: Option<usize>,
    /// The number of units that the continuation may have.
    pub(super) continuation: usize,
}

/// How sequences are cut that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// No two shares of a sequence.
    #[error("cut.prompt_share must be two shares between 0 and 1, the lower first")]
    Share,
    /// A part of no units, or of fewer at most than at least.
    #[error("cut.min_{part}_units must be at least 1 and at most max_{part}_units")]
    Units {
        /// `prompt` or `continuation`.
        part: &'static str,
    },
}

/// Cuts sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutter<'a>(&'a Cut);

impl<'a> Cutter<'a> {
    /// Cuts as a source says, where that makes sense.
    pub(super) fn new(cut: &'a Cut) -> Result<Self, CutError> {
        let (low, high) = cut.prompt_share;
        if !(low > 0.0 && low <= high && high < 1.0) {
            return Err(CutError::Share);
        }
        for (part, min, max) in [
            ("prompt", cut.min_prompt_units, cut.max_prompt_units),
            ("continuation", cut.min_continuation_units, cut.max_continuation_units),
        ] {
            if min == 0 || (max > 0 && max < min) {
                return Err(CutError::Units { part });
            }
        }
        Ok(Self(cut))
    }

    /// Where a sequence is cut; `None` where a part would be too short.
    pub(super) fn place(self, row: &UnitSequence, rate: f64, rng: &mut Rng) -> Option<Place> {
        let (low, high) = self.0.prompt_share;
        let share = low + rng.uniform() * (high - low);
        let mut at = (share * row.units.len() as f64).round() as usize;
        let mut words = None;
        if let Some(known) = row.words.as_deref().filter(|w| !w.is_empty()) {
            let end = seconds_before(row, at, rate);
            let behind = |w: &&Word| f64::from(w.end) <= end;
            let num_spoken = known.iter().take_while(behind).count();
            let last = num_spoken.checked_sub(1).map(|i| f64::from(known[i].end))?;
            at = units_until(row, last, rate);
            words = Some(num_spoken);
        }
        let left = row.units.len().checked_sub(at)?;
        let continuation = match self.0.max_continuation_units {
            0 => left,
            most => left.min(most),
        };
        (at >= self.0.min_prompt_units && continuation >= self.0.min_continuation_units)
            .then_some(Place { at, words, continuation })
    }

    /// The sequence's prompt.
    pub(super) fn prompt(self, row: &UnitSequence, place: &Place, rate: f64) -> Segment {
        let first = match self.0.max_prompt_units {
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
        let place = Cutter(&cut).place(&row, 25.0, &mut Rng::new(1)).unwrap();
        assert_eq!(Cutter(&cut).prompt(&row, &place, 25.0).units, (20..50).collect::<Vec<_>>());
        let rest = Cutter::continuation(&row, &place, place.continuation, 25.0);
        assert_eq!((rest.units, rest.text), ((50..100).collect::<Vec<_>>(), None));
        let short = Cut { min_continuation_units: 51, ..cut };
        assert!(Cutter(&short).place(&row, 25.0, &mut Rng::new(1)).is_none());
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
        let place = Cutter(&cut).place(&row, 25.0, &mut Rng::new(1)).unwrap();
        let prompt = Cutter(&cut).prompt(&row, &place, 25.0);
        // Half is 4 s. The fourth word ended at 3.9 s, which is unit 48.75.
        assert_eq!((prompt.units.len(), prompt.text.as_deref()), (49, Some("w0 w1 w2 w3")));
        let rest = Cutter::continuation(&row, &place, 26, 25.0);
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
            assert!(Cutter::new(&cut).is_err(), "{cut:?}");
        }
        assert!(Cutter::new(&Cut::default()).is_ok());
    }
}
