//! The stage benchmark: unit shards of items to a shard of benchmark pairs.

use std::collections::{BTreeMap, BTreeSet};
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
    /// A shard that does not name its tokeniser, or names another than the shards before it.
    #[error("{0}: {1}")]
    Tokeniser(String, String),
    /// A unit of work without its inputs.
    #[error("the unit has no inputs, expected unit shards; plan it again")]
    Inputs,
}

/// One side of a pair.
struct Found {
    units: Vec<u16>,
    file: Option<String>,
    source: String,
}

/// Makes the benchmark shard of unit shards whose ids are [`ItemKey`]s. The sides of a pair may lie in
/// different shards. What has no mate, occurs twice or does not differ from its mate goes to quarantine:
/// nothing is dropped in silence. `totals` counts each of the reasons.
///
/// # Errors
/// If a shard cannot be read or written, or the shards come from several tokenisers.
pub fn benchmark(
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, BenchmarkError> {
    let mut refused = Refused::default();
    // Keyed by the positive's id, which orders and names the pair.
    let mut pairs: BTreeMap<ItemKey, [Option<Found>; 2]> = BTreeMap::new();
    let mut tokeniser: Option<TokeniserInfo> = None;
    let mut splits = BTreeSet::new();
    for input in &unit.inputs {
        let path = context.path(input);
        let source = path.display().to_string();
        let reader = ShardReader::<UnitSequence>::open(&path)?;
        let info = TokeniserInfo::from_metadata(reader.metadata())
            .map_err(|e| BenchmarkError::Tokeniser(source.clone(), e))?;
        match &tokeniser {
            Some(first) if first.identity != info.identity => {
                let message = format!(
                    "made by tokeniser {} ({}), the shards before it by {} ({}); unitise them alike",
                    info.name,
                    info.identity.short(),
                    first.name,
                    first.identity.short()
                );
                return Err(BenchmarkError::Tokeniser(source, message));
            }
            Some(_) => {}
            None => tokeniser = Some(info),
        }
        for row in reader {
            let row = row?;
            if !splits.contains(&row.split) {
                splits.insert(row.split.clone());
            }
            let mut key: ItemKey = match row.id.parse() {
                Ok(key) => key,
                Err(e) => {
                    refused.add("not an item's id", row.id, &source, &e.to_string());
                    continue;
                }
            };
            let slot = usize::from(key.side == Side::Negative);
            key.side = Side::Positive;
            let file = key.file.take();
            let sides = pairs.entry(key).or_default();
            if row.units.is_empty() {
                refused.add("without units", row.id, &source, "the utterance has no units");
            } else if sides[slot].is_some() {
                refused.add("twice", row.id, &source, "the item occurs twice");
            } else {
                sides[slot] = Some(Found { units: row.units, file, source: source.clone() });
            }
        }
    }
    let info = tokeniser.ok_or(BenchmarkError::Inputs)?;
    let mut metadata = info.to_metadata();
    let splits: Vec<String> = splits.into_iter().collect();
    metadata.insert(BenchmarkPair::SPLITS.to_owned(), splits.join(","));
    let mut writer = ShardWriter::create(out, &metadata)?;
    for (key, sides) in pairs {
        match sides {
            [Some(positive), Some(negative)] if positive.units == negative.units => {
                let error = "both sides have the same units";
                refused.add("identical", key.to_string(), &positive.source, error);
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
                    positive_file: positive.file,
                    negative_file: negative.file,
                    positive: positive.units,
                    negative: negative.units,
                })?;
            }
            [Some(alone), None] | [None, Some(alone)] => {
                refused.add("without mate", key.to_string(), &alone.source, "its mate is missing");
            }
            // Both sides were refused above.
            [None, None] => {}
        }
    }
    let rows = writer.finish()?;
    Ok(Outcome { rows, quarantined: refused.rows, totals: refused.counts })
}

/// What was left out, and how often for which reason.
#[derive(Default)]
struct Refused {
    rows: Vec<Quarantined>,
    counts: BTreeMap<String, f64>,
}

impl Refused {
    fn add(&mut self, reason: &str, id: String, source: &str, error: &str) {
        *self.counts.entry(reason.to_owned()).or_default() += 1.0;
        self.rows.push(Quarantined {
            id,
            source: source.to_owned(),
            stage: stage::BENCHMARK.name.to_owned(),
            error: error.to_owned(),
        });
    }
}
