//! Loss spikes: a loss far above its running mean.

use serde::{Deserialize, Serialize};

/// Weight of a new loss in the running mean and variance.
const MIX: f64 = 0.05;
/// Losses seen before the first spike is called.
const WARM_UP: u64 = 20;
/// Standard deviations above the mean that make a spike.
const DEVIATIONS: f64 = 6.0;
/// The least rise, as a share of the mean, that makes one: a very even loss is no reason for alarm.
const LEAST_RISE: f64 = 0.1;

/// Running mean and variance of the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spikes {
    mean: f64,
    variance: f64,
    seen: u64,
}

impl Spikes {
    /// Takes a step's loss in; returns the mean that it spikes above, where it does.
    pub(crate) fn observe(&mut self, loss: f64) -> Option<f64> {
        let mean = self.mean;
        let rise = loss - mean;
        let least = (DEVIATIONS * self.variance.sqrt()).max(LEAST_RISE * mean.abs());
        let spike = self.seen >= WARM_UP && rise > least;
        // A spike counts as the least that would have been one, so that the next is still seen.
        let rise = if spike { least } else { rise };
        // The first losses weigh alike, as in a plain mean.
        let mix = MIX.max(1.0 / (self.seen + 1) as f64);
        self.mean += mix * rise;
        self.variance = (1.0 - mix) * (self.variance + mix * rise * rise);
        self.seen += 1;
        spike.then_some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_called_and_a_falling_noisy_loss_is_not() {
        let mut spikes = Spikes::default();
        let noise = |i: u64| ((i * 7919) % 100) as f64 / 500.0;
        for i in 0..500 {
            let loss = 6.0 * (-(i as f64) / 200.0).exp() + 1.0 + noise(i);
            assert_eq!(spikes.observe(loss), None, "step {i}");
        }
        let mean = spikes.observe(5.0);
        assert!(mean.is_some_and(|m| (1.0..3.0).contains(&m)), "{mean:?}");
        assert!(spikes.observe(5.0).is_some(), "the next is still seen");
        assert_eq!(spikes.observe(1.6), None);
    }
}
