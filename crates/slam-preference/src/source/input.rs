//! What the sources of pairs read, and what they say meanwhile.

use std::path::Path;

use slam_dataset::Context;
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;
use slam_dataset::work::Progress;
use slam_recipe::Key;
use slam_recipe::work::Input;

use crate::error::PairError;

/// Rows of a unit shard that are in reach: read whole, as a pair may need any two of them.
pub(super) struct Sequences {
    pub(super) rows: Vec<UnitSequence>,
    pub(super) tokeniser: TokeniserInfo,
}

/// Reads the rows of a split.
pub(super) fn sequences(path: &Path, split: &str) -> Result<Sequences, PairError> {
    let reader = ShardReader::<UnitSequence>::open(path)?;
    let tokeniser = TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| PairError::Tokeniser { path: path.to_owned(), reason: e })?;
    let rows = reader.filter(|row| row.as_ref().map_or(true, |row| row.split == split));
    Ok(Sequences { rows: rows.collect::<Result<_, _>>()?, tokeniser })
}

/// Returns the unit's only input, a unit shard.
pub(super) fn only<'a>(
    inputs: &'a [Input],
    expected: &'static str,
) -> Result<&'a Input, PairError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(PairError::Inputs { found: inputs.len(), expected }),
    }
}

pub(super) fn report(context: &Context<'_>, done: usize, total: usize) -> Result<(), PairError> {
    (context.progress)(Progress { done: done as f64, total: total as f64, unit: "rows" });
    if context.cancelled() { Err(PairError::Interrupted) } else { Ok(()) }
}

/// Returns the number that identifies a row's random streams. It is a function of the row's id, so no other
/// row changes it.
pub(super) fn stream(id: &str) -> u64 {
    let digest = Key::of_bytes(id.as_bytes());
    digest.as_str().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}
