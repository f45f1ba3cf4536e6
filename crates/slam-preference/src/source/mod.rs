//! The sources of pairs.

mod cut;
mod lines;
mod own;
mod sampled;
mod segments;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;
use slam_dataset::work::{Input, Progress};
use slam_dataset::{Context, Key};

use crate::error::PairError;

pub use cut::Cut;
pub use lines::SlamkitPairs;
pub use own::OwnContinuation;
pub use sampled::{Better, Sampled, Sampler, Sampling};

pub(crate) use lines::slamkit;
pub(crate) use own::own_continuation;
pub(crate) use sampled::sampled;
pub(crate) use segments::segments;

/// A source of pairs, as `source` of a preference dataset names it. Sources of speech (`spoken-swag`,
/// `swag`, `hella-swag`, the demo's grammar, …) are ingested and unitised first: their pairs are
/// [`Self::Segments`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PairSource {
    /// Unit sequences whose ids are [`slam_dataset::SegmentKey`]s.
    #[default]
    Segments,
    /// slamkit's JSON lines: pairs that are already unitised.
    SlamkitPairs(SlamkitPairs),
    /// The stories of a unit corpus: each story's own continuation against another story's.
    OwnContinuation(OwnContinuation),
    /// Continuations that a model samples and a scorer ranks.
    Sampled(Sampled),
}

/// The rows of a whole unit shard in memory, because a pair may need any two of them.
struct Sequences {
    rows: Vec<UnitSequence>,
    tokeniser: TokeniserInfo,
}

/// Reads the rows of a split.
fn sequences(path: &Path, split: &str) -> Result<Sequences, PairError> {
    let reader = ShardReader::<UnitSequence>::open(path)?;
    let tokeniser = TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| PairError::Tokeniser(path.display().to_string(), e))?;
    let rows = reader.filter(|row| row.as_ref().map_or(true, |row| row.split == split));
    Ok(Sequences { rows: rows.collect::<Result<_, _>>()?, tokeniser })
}

/// Returns the unit's only input, a unit shard.
fn only<'a>(inputs: &'a [Input], expected: &'static str) -> Result<&'a Input, PairError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(PairError::Inputs { found: inputs.len(), expected }),
    }
}

fn report(context: &Context<'_>, done: usize, total: usize) -> Result<(), PairError> {
    (context.progress)(Progress { done: done as f64, total: total as f64, unit: "rows" });
    if context.cancelled() { Err(PairError::Interrupted) } else { Ok(()) }
}

/// Returns the number that identifies a row's random streams. It is a function of the row's id, so no other
/// row changes it.
fn stream(id: &str) -> u64 {
    let digest = Key::of_bytes(id.as_bytes());
    digest.as_str().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}
