//! The conventions that published scores follow.

use serde::{Deserialize, Serialize};
use slam_dataset::schema::Score;

/// How a pair's likelihoods are compared and how pairs become a suite's score. Chance is ½ in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Mean negative log-likelihood over units and the final `<S>`; the mean over all pairs of all voices.
    Slamkit,
    /// The submitted score, which for our own models is slamkit's with its sign turned; voices are averaged
    /// per item first, then items (Nguyen et al. 2020, the ZeroSpeech 2021 toolkit).
    Zerospeech,
    /// Slamkit's without the final `<S>`; sBLIMP is the mean of its phenomena (Cuervo and Marxer 2024).
    SlmScaling,
}

/// What a mean is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// Every pair counts once.
    Pairs,
    /// Every item counts once, whatever its number of voices.
    Items,
    /// Every kind counts once, and in it every pair.
    Kinds,
}

impl Convention {
    /// The convention that a suite's published scores follow: ZeroSpeech's own sets (`swuggy-dev`,
    /// `sblimp-test`, …) that of their toolkit, all else slamkit's.
    pub fn default_for(suite: &str) -> Self {
        let zerospeech = ["swuggy", "sblimp"]
            .into_iter()
            .flat_map(|s| ["dev", "test"].map(|split| format!("{s}-{split}")))
            .any(|name| name == suite);
        if zerospeech { Self::Zerospeech } else { Self::Slamkit }
    }

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slamkit => "slamkit",
            Self::Zerospeech => "zerospeech",
            Self::SlmScaling => "slm-scaling",
        }
    }

    /// The positive's and the negative's value; the lower is the likelier.
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

    /// 1 where the positive is likelier, 0 where the negative is, ½ for a tie.
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

    /// How much likelier the positive is, in nats a token.
    pub fn margin(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        negative - positive
    }

    /// What a suite's score is the mean of.
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
