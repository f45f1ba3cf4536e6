//! What a run expects of its budget, once its first steps are measured.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};
use slam_nn::ops;

use crate::budget::{Budget, Pace, Spent};

/// Tokens of the recipe's pre-training (17,625 steps of 128 sequences of 620 tokens, Maimon et al. 2025).
pub const RECIPE_TOKENS: f64 = 1.4e9;

/// What a run will have done at its end, as it looks now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Tokens in all.
    pub tokens: f64,
    /// Steps in all.
    pub steps: f64,
    /// Passes over the data in all.
    pub epochs: f64,
    /// Wall-clock seconds in all.
    pub seconds: f64,
    /// Tokens a second, as of late.
    pub tokens_per_second: f64,
    /// Seconds of a step, as of late.
    pub seconds_per_step: f64,
    /// Seconds kept for the last validation and save.
    pub reserve: f64,
    /// Parameters of the model.
    pub parameters: u64,
}

impl Plan {
    /// The plan of a run that has spent this much, at this pace.
    pub(crate) fn of(
        budget: Budget,
        spent: &Spent,
        pace: &Pace,
        tokens_per_step: f64,
        epoch_tokens: u64,
        parameters: u64,
    ) -> Self {
        let steps_left = match budget {
            Budget::Seconds(total) => (total - pace.reserve - spent.seconds) / pace.step.max(1e-9),
            Budget::Steps(total) => total as f64 - spent.steps as f64,
            Budget::Tokens(total) => {
                (total as f64 - spent.tokens as f64) / tokens_per_step.max(1.0)
            }
            Budget::Epochs(total) => {
                (total * epoch_tokens as f64 - spent.tokens as f64) / tokens_per_step.max(1.0)
            }
        };
        let steps_left = steps_left.max(0.0);
        let tokens = spent.tokens as f64 + steps_left * tokens_per_step;
        Self {
            tokens,
            steps: spent.steps as f64 + steps_left,
            epochs: tokens / (epoch_tokens as f64).max(1.0),
            seconds: match budget {
                Budget::Seconds(total) => total,
                _ => spent.seconds + steps_left * pace.step + pace.reserve,
            },
            tokens_per_second: tokens_per_step / pace.step.max(1e-9),
            seconds_per_step: pace.step,
            reserve: pace.reserve,
            parameters,
        }
    }

    /// Whether another plan expects other tokens, by more than a tenth.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (self.tokens - other.tokens).abs() > 0.1 * self.tokens.max(1.0)
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} tokens in {:.0} steps and {}: {:.2} passes over the data, {:.2} % of the recipe's 1.4 B; \
             {} tokens/s, {:.3} s a step, {:.1} s kept for the last validation and save; {} parameters",
            count(self.tokens),
            self.steps,
            clock(self.seconds),
            self.epochs,
            100.0 * self.tokens / RECIPE_TOKENS,
            count(self.tokens_per_second),
            self.seconds_per_step,
            self.reserve,
            count(self.parameters as f64),
        )
    }
}

/// A count for people: 950, 12.3 k, 4.56 M, 1.40 B.
pub(crate) fn count(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Seconds for people: 42 s, 3 min 5 s, 23 h 30 min.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// The device's rate in products of square matrices, as the model's layers compute them, in floating-point
/// operations a second: what a training step's rate is compared with. The best of a few, because what else the
/// machine does only takes away.
pub(crate) fn matmul_rate(device: &Device, dtype: DType) -> f64 {
    /// Long enough to measure, short enough not to be noticed.
    const LEAST_SECONDS: f64 = 0.02;
    const LARGEST: usize = 8192;
    const RUNS: usize = 5;
    let mut n = 512;
    loop {
        let random = || Tensor::<2>::random([n, n], Distribution::Default, device).cast(dtype);
        let (x, weight) = (random(), random());
        // Reading a value waits for the device.
        let product = || ops::linear(x.clone(), weight.clone(), None).sum().into_data();
        // Once for kernels that are compiled or chosen on first use.
        product();
        let timed = || {
            let began = Instant::now();
            product();
            began.elapsed().as_secs_f64()
        };
        let first = timed();
        if first >= LEAST_SECONDS || n >= LARGEST {
            let best = (1..RUNS).map(|_| timed()).fold(first, f64::min);
            return 2.0 * (n as f64).powi(3) / best.max(1e-9);
        }
        n *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_the_pace() {
        let spent = Spent { steps: 10, tokens: 10_000, seconds: 20.0 };
        let pace = Pace { reserve: 10.0, step: 2.0 };
        let plan = Plan::of(Budget::Seconds(130.0), &spent, &pace, 1000.0, 30_000, 7);
        assert_eq!((plan.steps, plan.tokens, plan.epochs), (60.0, 60_000.0, 2.0));
        let by_steps = Plan::of(Budget::Steps(60), &spent, &pace, 1000.0, 30_000, 7);
        assert_eq!((by_steps.tokens, by_steps.seconds), (60_000.0, 130.0));
        let slower = Plan::of(
            Budget::Seconds(130.0),
            &spent,
            &Pace { step: 3.0, ..pace },
            1000.0,
            30_000,
            7,
        );
        assert!(slower.differs(&plan) && !plan.differs(&plan));
        assert!(plan.to_string().contains("60.0 k tokens in 60 steps and 2 min 10 s"), "{plan}");
    }
}
