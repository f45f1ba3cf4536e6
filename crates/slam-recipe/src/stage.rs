//! The stages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stage that makes shards. A stage's version is part of every key it makes: raise it when the stage would
/// write other bytes for the same input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Decode, resample, cut or synthesise: sources to corpus shards.
    Ingest,
    /// Fit centroids on corpus shards.
    FitKmeans,
    /// Corpus shards, or unit sequences of other programs, to unit shards.
    Unitise,
    /// Unit shards to preference pairs.
    Pair,
    /// Unit shards of items to benchmark pairs.
    Benchmark,
}

/// A text that names no stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage '{0}'; there are ingest, fit-kmeans, unitise, pair and benchmark")]
pub struct NoSuchStage(String);

impl Stage {
    /// All stages, in an order in which each finds its inputs.
    pub const ALL: [Self; 5] =
        [Self::Ingest, Self::FitKmeans, Self::Unitise, Self::Pair, Self::Benchmark];

    /// The name, a verb.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::FitKmeans => "fit-kmeans",
            Self::Unitise => "unitise",
            Self::Pair => "pair",
            Self::Benchmark => "benchmark",
        }
    }

    /// Raised when the same input gives other bytes.
    pub fn version(self) -> u32 {
        match self {
            Self::Ingest => 7,
            Self::FitKmeans => 2,
            Self::Pair => 1,
            Self::Unitise => 3,
            Self::Benchmark => 4,
        }
    }

    /// The layout of its shards on disk; part of the folder's name.
    pub fn format(self) -> u32 {
        match self {
            Self::FitKmeans | Self::Pair => 1,
            // Rows have the column `item`.
            Self::Ingest | Self::Unitise | Self::Benchmark => 2,
        }
    }

    /// The file extension of its shards.
    pub fn extension(self) -> &'static str {
        match self {
            Self::FitKmeans => "safetensors",
            Self::Ingest | Self::Unitise | Self::Pair | Self::Benchmark => "parquet",
        }
    }

    /// The folder of this stage's shards below a dataset: `ingest-v2`.
    pub fn folder(self) -> String {
        format!("{}-v{}", self.name(), self.format())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Stage {
    type Err = NoSuchStage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|stage| stage.name() == text);
        named.ok_or_else(|| NoSuchStage(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_read_back_in_text_and_in_json() {
        for stage in Stage::ALL {
            assert_eq!(stage.name().parse::<Stage>().unwrap(), stage);
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
        let error = "unitize".parse::<Stage>().unwrap_err().to_string();
        assert!(error.contains("'unitize'") && error.contains("unitise"), "{error}");
    }
}
