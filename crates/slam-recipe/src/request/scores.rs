//! What scoring is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::evaluation::{Convention, Services, SubmissionMeta};

/// Scores of one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRequest {
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// Benchmark shards.
    pub shards: Vec<PathBuf>,
    /// How pairs are compared; where it is missing, as each suite's published scores do.
    pub convention: Option<Convention>,
    /// Where the scores shard goes; a summary is written beside it as `.json`.
    pub out: PathBuf,
}

/// What to make tables of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScoresRequest {
    /// Scores shards.
    Shards {
        /// The shards.
        scores: Vec<PathBuf>,
        /// Where it is missing, as each suite's published scores are computed.
        convention: Option<Convention>,
        /// What the shards are to each other.
        relation: Relation,
        /// A folder for a ZeroSpeech submission of the last shard.
        submission: Option<PathBuf>,
        /// Who submits what.
        meta: SubmissionMeta,
    },
    /// A file of a ZeroSpeech submission with its gold file, or a submission's folder with the data set's.
    Submission {
        /// The file or folder.
        submission: PathBuf,
        /// The gold file, or the data set's folder.
        gold: PathBuf,
        /// Where it is missing, ZeroSpeech's.
        convention: Option<Convention>,
        /// Where the scores go as a shard.
        out: Option<PathBuf>,
    },
    /// Continuations, by services that the user has.
    Generations {
        /// What `generate` wrote.
        generations: PathBuf,
        /// The services.
        services: Services,
        /// Where each sample's figures go, as JSON lines.
        out: PathBuf,
    },
}

/// What several scores shards are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Models to compare, each with the first.
    Models,
    /// One recipe under several seeds: their spread.
    Seeds,
}
