//! The conventions that published scores follow.

use slam_dataset::schema::Score;
pub use slam_recipe::evaluation::Convention;

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

/// The convention that a suite's published scores follow: ZeroSpeech's own sets (`swuggy-dev`,
/// `sblimp-test`, …) that of their toolkit, all else slamkit's.
pub fn default_for(suite: &str) -> Convention {
    let zerospeech = ["swuggy", "sblimp"]
        .into_iter()
        .flat_map(|s| ["dev", "test"].map(|split| format!("{s}-{split}")))
        .any(|name| name == suite);
    if zerospeech { Convention::Zerospeech } else { Convention::Slamkit }
}

/// What a convention makes of likelihoods.
pub trait Compare {
    /// The positive's and the negative's value; the lower is the likelier.
    fn values(self, score: &Score) -> (f64, f64);
    /// 1 where the positive is likelier, 0 where the negative is, ½ for a tie.
    fn pair(self, score: &Score) -> f64;
    /// How much likelier the positive is, in nats a token.
    fn margin(self, score: &Score) -> f64;
}

impl Compare for Convention {
    fn values(self, s: &Score) -> (f64, f64) {
        let mean = |sum: f64, eos: f64, tokens: u32| match self {
            Self::Slamkit | Self::Zerospeech => (sum + eos) / (f64::from(tokens) + 1.0),
            Self::SlmScaling => sum / f64::from(tokens.max(1)),
        };
        (
            mean(s.positive_nll, s.positive_eos_nll, s.positive_tokens),
            mean(s.negative_nll, s.negative_eos_nll, s.negative_tokens),
        )
    }

    fn pair(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        if positive < negative {
            1.0
        } else if positive > negative {
            0.0
        } else {
            0.5
        }
    }

    fn margin(self, score: &Score) -> f64 {
        let (positive, negative) = self.values(score);
        negative - positive
    }
}

/// What a suite's score is the mean of.
pub(crate) fn weighting(convention: Convention, suite: &str) -> Weighting {
    match convention {
        Convention::Zerospeech => Weighting::Items,
        Convention::SlmScaling if suite.starts_with("sblimp") => Weighting::Kinds,
        Convention::Slamkit | Convention::SlmScaling => Weighting::Pairs,
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
            assert_eq!(default_for(suite), expected, "{suite}");
        }
    }
}
