//! Parts of a pipeline that do not fit together.

use crate::tokeniser::MfccError;

/// Parts of a pipeline that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineFault {
    /// Centroids from nowhere, or from two places.
    #[error("tokeniser needs either fit_on (a dataset) or centroids (a file)")]
    Centroids,
    /// A parameter of the features that is out of its range.
    #[error("tokeniser.features: {0}")]
    Features(MfccError),
    /// A number of centroids that cannot be.
    #[error("tokeniser.kmeans.k is {0}: must be 1 to 65,535")]
    Centroid(usize),
    /// Centroids that would be fitted on what they are scored on.
    #[error(
        "tokeniser.fit_on names dataset '{dataset}', which is a benchmark: it has nothing to fit on"
    )]
    FitOn {
        /// The dataset.
        dataset: String,
    },
    /// A share that is none.
    #[error("dataset '{dataset}': validation_percent must be a number from 0 to 100")]
    Percent {
        /// The dataset.
        dataset: String,
    },
    /// A number of shards that cannot be.
    #[error("dataset '{dataset}': shards is {shards}, must be 1 to 99,999")]
    Shards {
        /// The dataset.
        dataset: String,
        /// The number.
        shards: u32,
    },
    /// A model to start from where it cannot be used.
    #[error(
        "[dpo] policy is the checkpoint that a pipeline without [train] starts from; leave out one of both"
    )]
    Policy,
    /// A source of pairs that cannot be planned.
    #[error("the source of dataset '{dataset}': {fault}")]
    Pairs {
        /// The dataset.
        dataset: String,
        /// What is wrong.
        fault: PairsError,
    },
    /// A dataset that is named but not defined.
    #[error("{field} names dataset '{dataset}', which it does not define")]
    NoSuchDataset {
        /// Where it is named.
        field: &'static str,
        /// The name.
        dataset: String,
    },
    /// A name that is no folder's.
    #[error(
        "'{name}' cannot name a {what}: the name is a folder's, so it begins with a letter or a digit and has no \
         slash, backslash or control character"
    )]
    Name {
        /// `dataset` or `tokeniser`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A length of recordings that is none.
    #[error("dataset '{dataset}': max_seconds must be a number that is at least 0")]
    Seconds {
        /// The dataset.
        dataset: String,
    },
    /// Two datasets of one name.
    #[error("it defines dataset '{dataset}' twice; give each a name of its own")]
    Twice {
        /// The name.
        dataset: String,
    },
}

/// What is wrong with a source of pairs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// A dataset of another role.
    #[error("it makes pairs; the dataset needs role = \"preference\"")]
    Role,
    /// A field is missing.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// The dataset it is made of is made of pairs.
    #[error("'{0}' has no units: it is made of pairs itself")]
    NoUnits(String),
    /// The dataset it is made of is not defined.
    #[error("it names dataset '{0}', which the pipeline does not define")]
    NoSuchDataset(String),
}
