//! The stages by name. A stage's version is part of every key it makes: raise it when the stage would
//! write other bytes for the same input.

/// A stage's name and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// A verb.
    pub name: &'static str,
    /// Raised when the same input gives other bytes.
    pub version: u32,
    /// The layout of its shards on disk; part of the folder's name.
    pub format: u32,
    /// The file extension of its shards.
    pub extension: &'static str,
}

impl Stage {
    /// The folder of this stage's shards below a dataset: `ingest-v1`.
    pub fn folder(&self) -> String {
        format!("{}-v{}", self.name, self.format)
    }
}

/// Decode, resample, cut or synthesise: sources to corpus shards.
pub const INGEST: Stage = Stage { name: "ingest", version: 5, format: 1, extension: "parquet" };
/// Fit centroids on corpus shards.
pub const FIT_KMEANS: Stage =
    Stage { name: "fit-kmeans", version: 2, format: 1, extension: "safetensors" };
/// Corpus shards to unit shards.
pub const UNITISE: Stage = Stage { name: "unitise", version: 2, format: 1, extension: "parquet" };
/// Unit shards of segments to preference pairs.
pub const PAIR: Stage = Stage { name: "pair", version: 1, format: 1, extension: "parquet" };
/// Unit shards of items to benchmark pairs.
pub const BENCHMARK: Stage =
    Stage { name: "benchmark", version: 3, format: 1, extension: "parquet" };
