//! Settings that cannot be used, and what to do about each.

use std::fmt;

/// What a setting must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// A number above 0.
    Positive,
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// At least 0 and below this.
    Below(f64),
    /// At least 0 and at most the highest learning rate, which is this.
    UpToPeak(f64),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Positive => f.write_str("positive"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::Below(limit) => write!(f, "at least 0 and below {limit}"),
            Self::UpToPeak(peak) => write!(f, "at least 0 and at most peak_lr, which is {peak}"),
        }
    }
}

impl Wanted {
    fn is_met_by(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::AtLeast(least) => value >= least,
                Self::AtMost(most) => value <= most,
                Self::Below(limit) => (0.0..limit).contains(&value),
                Self::UpToPeak(peak) => (0.0..=peak).contains(&value),
            }
    }
}

/// A configuration that asks for something impossible.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{field} is {value}; it must be {wanted}")]
    OutOfRange {
        /// The field's path among the stage's parameters.
        field: String,
        /// What it is.
        value: f64,
        /// What it must be.
        wanted: Wanted,
    },
    /// A mixture names a dataset that is not trained on.
    #[error("mixture: there is no dataset '{name}' among {}; name one of these", known.join(", "))]
    UnknownDataset {
        /// The name.
        name: String,
        /// The datasets that are trained on.
        known: Vec<String>,
    },
    /// A mixture by weights leaves a dataset out.
    #[error("mixture: dataset '{name}' has no weight; give it one, 0 to leave it out")]
    NoWeight {
        /// The dataset.
        name: String,
    },
    /// A mixture reads nothing.
    #[error("mixture: nothing is left to train on; give a dataset with training rows more than 0")]
    NothingMixed,
    /// No unit shard was given.
    #[error("there are no unit shards to train on; make them, or name a dataset that has some")]
    NoShards,
    /// No row of the unit shards can be trained on.
    #[error(
        "the unit shards have no rows of split 'train' of a length that min_units and max_units let \
         through; change these, or look at the unit stage's receipts"
    )]
    NoRows,
    /// No pair of the pair shards fits the caps of length.
    #[error(
        "the pair shards have no pairs that fit max_length; raise it or look at the pair stage's receipts"
    )]
    NoPairs,
    /// All pairs are held out.
    #[error(
        "the pair shards have no pairs to train on: 1 in {validation} of {pairs} is held out; raise \
         validation, or set it to 0"
    )]
    AllHeldOut {
        /// One pair in this many is held out.
        validation: usize,
        /// How many pairs there are.
        pairs: usize,
    },
    /// The model's embedding is smaller than the tokeniser's vocabulary.
    #[error(
        "the model knows {model} tokens, the units need {units}; take a model that was made for this \
         tokeniser"
    )]
    Vocabulary {
        /// Rows of the model's embedding.
        model: usize,
        /// Units and special tokens.
        units: usize,
    },
    /// A row is longer than the model's positions.
    #[error(
        "the context of {context} is longer than the model's {positions} positions; lower context, or \
         take a model with more"
    )]
    Context {
        /// Tokens of a row.
        context: usize,
        /// The model's positions.
        positions: usize,
    },
    /// The reference's log-probabilities have taken the whole of a budget in seconds.
    #[error(
        "the reference's log-probabilities took {reference:.0} s, the budget is {budget:.0} s; the next run \
         finds them kept, or give DPO more time"
    )]
    ReferenceTookAll {
        /// Seconds that they took.
        reference: f64,
        /// Seconds of the budget.
        budget: f64,
    },
}

/// Whether a number is in its range.
///
/// # Errors
/// If it is not, or is no number.
pub(crate) fn within(field: &str, value: f64, wanted: Wanted) -> Result<(), ConfigError> {
    if wanted.is_met_by(value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { field: field.to_owned(), value, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_its_range_is_told_with_the_range() {
        for (value, wanted, text) in [
            (0.0, Wanted::Positive, "x is 0; it must be positive"),
            (f64::NAN, Wanted::AtLeast(0.0), "x is NaN; it must be at least 0"),
            (65.0, Wanted::AtMost(64.0), "x is 65; it must be at most 64"),
            (1.0, Wanted::Below(1.0), "x is 1; it must be at least 0 and below 1"),
            (-1.0, Wanted::UpToPeak(0.5), "at least 0 and at most peak_lr, which is 0.5"),
        ] {
            let error = within("x", value, wanted).map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|e| e.contains(text)), "{error:?}");
        }
        assert_eq!(within("x", 0.5, Wanted::UpToPeak(0.5)), Ok(()));
        assert_eq!(within("x", 2.0, Wanted::AtLeast(2.0)), Ok(()));
    }
}
