//! How long a run lasts: by the clock, by steps, by tokens or by passes over the data.

pub use slam_recipe::training::{Budget, Spent};

use crate::config_error::{ConfigError, Wanted, within};

/// What a budget in seconds must know of the work ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Seconds that the last validation and save will take.
    pub reserve: f64,
    /// Seconds of a step, as of late; 0 where none was measured.
    pub step: f64,
}

/// Where a run stands between two steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stand {
    /// There is no time for another step.
    Over,
    /// A step follows, with the learning rate of this fraction of the budget.
    Go(f64),
}

/// A budget in the midst of a run.
pub trait Course {
    /// The fraction of the budget that is spent; 1 or more ends the run.
    fn progress(self, spent: &Spent, epoch_tokens: u64, pace: &Pace) -> f64;

    /// Whether there is a step to take, and at which point of the schedule.
    ///
    /// By the clock, a step is taken where at least half of it fits, and the last one is at the schedule's
    /// end, so that the learning rate reaches its minimum however long steps have become. There is always a
    /// first step.
    fn stand(self, spent: &Spent, epoch_tokens: u64, pace: &Pace) -> Stand;

    /// Whether the budget can be kept at all.
    ///
    /// # Errors
    /// If it is not positive.
    fn check(self) -> Result<(), ConfigError>;
}

impl Course for Budget {
    fn progress(self, spent: &Spent, epoch_tokens: u64, pace: &Pace) -> f64 {
        match self {
            Self::Seconds(total) => spent.seconds / (total - pace.reserve).max(f64::MIN_POSITIVE),
            Self::Steps(total) => spent.steps as f64 / (total.max(1)) as f64,
            Self::Tokens(total) => spent.tokens as f64 / (total.max(1)) as f64,
            Self::Epochs(total) => spent.tokens as f64 / (total * epoch_tokens as f64).max(1.0),
        }
    }

    fn stand(self, spent: &Spent, epoch_tokens: u64, pace: &Pace) -> Stand {
        let progress = self.progress(spent, epoch_tokens, pace);
        if let Self::Seconds(total) = self {
            let left = total - pace.reserve - spent.seconds;
            return match (spent.steps, left) {
                (0, _) => Stand::Go(progress.min(1.0)),
                (_, left) if left <= 0.5 * pace.step => Stand::Over,
                (_, left) if left <= 1.5 * pace.step => Stand::Go(1.0),
                _ => Stand::Go(progress),
            };
        }
        if progress >= 1.0 { Stand::Over } else { Stand::Go(progress) }
    }

    fn check(self) -> Result<(), ConfigError> {
        let (field, amount) = match self {
            Self::Seconds(seconds) => ("budget.seconds", seconds),
            Self::Steps(steps) => ("budget.steps", steps as f64),
            Self::Tokens(tokens) => ("budget.tokens", tokens as f64),
            Self::Epochs(epochs) => ("budget.epochs", epochs),
        };
        within(field, amount, Wanted::Positive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { reserve: 2.0, step: 1.0 };

    fn spent(seconds: f64) -> Spent {
        Spent { steps: 5, tokens: 300, seconds }
    }

    #[test]
    fn each_budget_counts_its_own_measure() {
        let progress = |b: Budget| b.progress(&spent(9.0), 200, &PACE);
        assert_eq!(progress(Budget::Steps(10)), 0.5);
        assert_eq!(progress(Budget::Tokens(600)), 0.5);
        assert_eq!(progress(Budget::Epochs(3.0)), 0.5);
        assert_eq!(progress(Budget::Seconds(20.0)), 0.5);
        assert!(Budget::Seconds(f64::NAN).check().is_err() && Budget::Steps(0).check().is_err());
    }

    #[test]
    fn the_last_step_by_the_clock_is_at_the_end_of_the_schedule() {
        let stand = |seconds| Budget::Seconds(20.0).stand(&spent(seconds), 200, &PACE);
        assert_eq!(stand(9.0), Stand::Go(0.5));
        assert_eq!(stand(16.6), Stand::Go(1.0));
        assert_eq!(stand(17.6), Stand::Over);
        let unborn = Spent { steps: 0, ..spent(50.0) };
        assert_eq!(Budget::Seconds(20.0).stand(&unborn, 200, &PACE), Stand::Go(1.0));
        assert_eq!(Budget::Steps(5).stand(&spent(1.0), 200, &PACE), Stand::Over);
    }
}
