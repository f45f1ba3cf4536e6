//! Which utterances are trained on and which are held out.

use serde::{Deserialize, Serialize};
use slam_dataset::schema::UnitSequence;
use slam_recipe::Key;

/// Which utterances of the shards are used, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Utterances of fewer units are left out.
    pub min_units: usize,
    /// Utterances of more units are left out; 0 for none.
    pub max_units: usize,
    /// One training utterance in this many is held out for validation, chosen by its id; 0 for none.
    pub validation: usize,
}

/// What a row is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Train,
    Validation,
    TooShort,
    TooLong,
    OtherSplit,
}

impl Selection {
    pub(super) fn of(&self, row: &UnitSequence) -> Use {
        let split = match row.split.as_str() {
            "train" if self.holds_out(&row.id) => Use::Validation,
            "train" => Use::Train,
            "validation" => Use::Validation,
            _ => return Use::OtherSplit,
        };
        match row.units.len() {
            0 => Use::TooShort,
            n if n < self.min_units => Use::TooShort,
            n if self.max_units > 0 && n > self.max_units => Use::TooLong,
            _ => split,
        }
    }

    /// By the id's hash: other data beside it moves no utterance from one side to the other.
    fn holds_out(&self, id: &str) -> bool {
        let hash = |id: &str| {
            let key = Key::of_bytes(id.as_bytes());
            u64::from_str_radix(&key.as_str()[..15], 16).unwrap_or_default()
        };
        self.validation > 0 && hash(id).is_multiple_of(self.validation as u64)
    }
}
