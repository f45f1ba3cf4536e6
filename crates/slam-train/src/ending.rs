//! What comes behind the last step of a run.

use serde::{Deserialize, Serialize};

/// How much longer than last time the last validation and save may take.
const MARGIN: f64 = 1.2;

/// What comes behind the last step, as it was measured last: a slower machine is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// Seconds of a validation.
    pub(crate) validation: f64,
    /// Seconds of a save.
    pub(crate) save: f64,
}

impl Ending {
    /// Seconds to keep for it.
    pub(crate) fn reserve(self) -> f64 {
        MARGIN * (self.validation + self.save)
    }
}
