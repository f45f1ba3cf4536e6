//! The conventions that published scores follow.

use serde::{Deserialize, Serialize};
use slam_dataset::schema::Score;

/// How a pair's likelihoods are compared, and how pairs become a suite's score. Chance is ½ in every
/// convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Compares the mean negative log-likelihood over units and the final `<S>`. The score is the mean over
    /// all pairs of all voices.
    Slamkit,
    /// Compares the submitted score. For our own models this is the negated score of slamkit. Voices are
    /// averaged per item first, then items (Nguyen et al. 2020, the ZeroSpeech 2021 toolkit).
    Zerospeech,
    /// Like slamkit without the final `<S>`. sBLIMP's score is the mean of its phenomena (Cuervo and Marxer
    /// 2024).
    SlmScaling,
}

/// What a mean is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// Every pair counts once.
    Pairs,
    /// Every item counts once, whatever its number of voices.
    Items,
    /// Every kind counts once, and every pair in a kind counts equally.
    Kinds,
}

impl Convention {
    /// Returns the convention that a suite's published scores follow: the toolkit's for ZeroSpeech's own
    /// sets (`swuggy-dev`, `sblimp-test`, …), slamkit's for all others.
    pub fn default_for(suite: &str) -> Self {
        let zerospeech = ["swuggy", "sblimp"]
            .into_iter()
            .flat_map(|s| ["dev", "test"].map(|split| format!("{s}-{split}")))
            .any(|name| name == suite);
        if zerospeech { Self::Zerospeech } else { Self::Slamkit }
    }

    /// Returns the name as used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slamkit => "slamkit",
            Self::Zerospeech => "zerospeech",
            Self::SlmScaling => "slm-scaling",
        }
    }

    /// Returns the positive's and the negative's value. The lower value is more likely.
    pub fn values(self, s: &Score) -> (f64, f64) {
        let mean = |sum: f64, eos: f64, tokens: u32| match self {
            Self::Slamkit | Self::Zerospeech => (sum + eos) / (f64::from(tokens) + 1.0),
            Self::SlmScaling => sum / f64::from(tokens.max(1)),
        };
        (
            mean(s.positive_nll, s.positive_eos_nll, s.positive_tokens),
            mean(s.negative_nll, s.negative_eos_nll, s.negative_tokens),
        )
    }

    /// Returns 1 if the positive is more likely, 0 if the negative is, ½ for a tie.
    pub fn pair(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        if positive < negative {
            1.0
        } else if positive > negative {
            0.0
        } else {
            0.5
        }
    }

    /// Returns how much more likely the positive is, in nats per token.
    pub fn margin(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        negative - positive
    }

    /// Returns what a suite's score is the mean of.
    pub(crate) fn weighting(self, suite: &str) -> Weighting {
        match self {
            Self::Zerospeech => Weighting::Items,
            Self::SlmScaling if suite.starts_with("sblimp") => Weighting::Kinds,
            Self::Slamkit | Self::SlmScaling => Weighting::Pairs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conventions_differ_in_the_end_token() {
        let s = Score {
            positive_nll: 4.0,
            negative_nll: 5.0,
            positive_eos_nll: 10.0,
            positive_tokens: 4,
            negative_tokens: 4,
            ..Default::default()
        };
        assert_eq!(Convention::SlmScaling.pair(&s), 1.0);
        assert_eq!(Convention::Slamkit.pair(&s), 0.0);
        assert_eq!(Convention::Zerospeech.pair(&s), 0.0);
    }

    #[test]
    fn zerospeechs_own_sets_follow_its_toolkit() {
        for (suite, expected) in [
            ("swuggy-dev", Convention::Zerospeech),
            ("sblimp-test", Convention::Zerospeech),
            ("sblimp", Convention::Slamkit),
            ("tsc", Convention::Slamkit),
        ] {
            assert_eq!(Convention::default_for(suite), expected, "{suite}");
        }
    }
}
