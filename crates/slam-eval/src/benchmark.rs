//! The stage benchmark: unit shards of items to shards of benchmark pairs.

use std::collections::BTreeMap;
use std::path::Path;

use slam_dataset::key::Side;
use slam_dataset::schema::{BenchmarkPair, TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::{Quarantined, WorkError};
use slam_dataset::{Context, ItemKey, Outcome, WorkUnit, stage};

/// Benchmark pairs that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// Parameters that this stage does not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A shard that cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A shard that does not name its tokeniser.
    #[error("{0}: {1}")]
    Tokeniser(String, String),
    /// A unit of work without its input.
    #[error("the unit has {0} inputs, expected one unit shard; plan it again")]
    Inputs(usize),
}

/// Makes one benchmark shard of one unit shard whose ids are [`ItemKey`]s. What has no mate, occurs twice
/// or does not differ from its mate goes to quarantine: nothing is dropped in silence.
///
/// # Errors
/// If a shard cannot be read or written.
pub fn benchmark(
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, BenchmarkError> {
    let [input] = &unit.inputs[..] else { return Err(BenchmarkError::Inputs(unit.inputs.len())) };
    let path = context.path(input);
    let source = path.display().to_string();
    let reader = ShardReader::<UnitSequence>::open(&path)?;
    let info = TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| BenchmarkError::Tokeniser(source.clone(), e))?;
    let mut outcome = Outcome::default();
    let mut refuse = |id: String, error: &str| {
        outcome.quarantined.push(Quarantined {
            id,
            source: source.clone(),
            stage: stage::BENCHMARK.name.to_owned(),
            error: error.to_owned(),
        });
    };
    // Keyed by the positive's id, which orders and names the pair.
    let mut pairs: BTreeMap<ItemKey, [Option<Vec<u16>>; 2]> = BTreeMap::new();
    for row in reader {
        let row = row?;
        let mut key: ItemKey = match row.id.parse() {
            Ok(key) => key,
            Err(e) => {
                refuse(row.id, &format!("{e}"));
                continue;
            }
        };
        let slot = usize::from(key.side == Side::Negative);
        key.side = Side::Positive;
        let sides = pairs.entry(key).or_default();
        if row.units.is_empty() {
            refuse(row.id, "the utterance has no units");
        } else if sides[slot].is_some() {
            refuse(row.id, "the item occurs twice");
        } else {
            sides[slot] = Some(row.units);
        }
    }
    let mut writer = ShardWriter::create(out, &info.to_metadata())?;
    for (key, sides) in pairs {
        match sides {
            [Some(positive), Some(negative)] if positive == negative => {
                refuse(key.to_string(), "both sides have the same units");
            }
            [Some(positive), Some(negative)] => {
                let ItemKey { suite, id, voice, kind, subkind, frequency, .. } = key;
                writer.push(BenchmarkPair {
                    suite,
                    id,
                    voice,
                    kind,
                    subkind,
                    frequency,
                    positive,
                    negative,
                })?;
            }
            _ => refuse(key.to_string(), "its mate is missing"),
        }
    }
    outcome.rows = writer.finish()?;
    Ok(outcome)
}
