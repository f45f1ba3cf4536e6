//! How long a run lasts: by the clock, by steps, by tokens or by passes over the data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Wall-clock seconds, over all sessions of the run, with the last save inside.
    Seconds(f64),
    /// Optimiser steps.
    Steps(u64),
    /// Tokens trained on.
    Tokens(u64),
    /// Passes over the training data.
    Epochs(f64),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Wall-clock seconds of training, over all sessions.
    pub seconds: f64,
}

impl Budget {
    /// The fraction of the budget that is spent; 1 or more ends the run. `reserve` is the time that the
    /// last validation and save will take.
    pub fn progress(self, spent: &Spent, epoch_tokens: u64, reserve: Duration) -> f64 {
        match self {
            Self::Seconds(total) => {
                let usable = (total - reserve.as_secs_f64()).max(f64::MIN_POSITIVE);
                spent.seconds / usable
            }
            Self::Steps(total) => spent.steps as f64 / (total.max(1)) as f64,
            Self::Tokens(total) => spent.tokens as f64 / (total.max(1)) as f64,
            Self::Epochs(total) => spent.tokens as f64 / (total * epoch_tokens as f64).max(1.0),
        }
    }

    /// Whether the budget can be kept at all.
    ///
    /// # Errors
    /// If it is not positive.
    pub fn check(self) -> Result<(), String> {
        let positive = match self {
            Self::Seconds(x) | Self::Epochs(x) => x.is_finite() && x > 0.0,
            Self::Steps(n) | Self::Tokens(n) => n > 0,
        };
        if positive { Ok(()) } else { Err(format!("the budget {self:?} is not positive")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_budget_counts_its_own_measure() {
        let spent = Spent { steps: 5, tokens: 300, seconds: 9.0 };
        let progress = |b: Budget| b.progress(&spent, 200, Duration::from_secs(2));
        assert_eq!(progress(Budget::Steps(10)), 0.5);
        assert_eq!(progress(Budget::Tokens(600)), 0.5);
        assert_eq!(progress(Budget::Epochs(3.0)), 0.5);
        assert_eq!(progress(Budget::Seconds(20.0)), 0.5);
        assert!(Budget::Seconds(f64::NAN).check().is_err() && Budget::Steps(0).check().is_err());
    }
}
