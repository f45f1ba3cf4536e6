//! The stage `benchmark`: it turns unit shards of items into a shard of benchmark pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use slam_dataset::schema::{BenchmarkPair, TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::WorkError;
use slam_dataset::{Context, Outcome};
use slam_recipe::item::{BenchmarkItem, Item, Side};
use slam_recipe::params::BenchmarkParams;
use slam_recipe::work::Quarantined;
use slam_recipe::{Stage, WorkUnit};

/// The reasons why benchmark pairs could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// The stage does not understand its parameters.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A shard cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A shard does not name its tokeniser, or names a different one from the shards before it.
    #[error("{0}: {1}")]
    Tokeniser(String, String),
    /// A unit of work does not have its inputs.
    #[error("the unit has no inputs, expected unit shards; plan it again")]
    Inputs,
}

/// One side of a pair.
struct Found {
    units: Vec<u16>,
    file: Option<String>,
    source: String,
}

/// Makes the benchmark shard from unit shards whose rows are items of a suite ([`BenchmarkItem`]). The sides
/// of a pair may lie in different shards. An item goes to quarantine if its other side is missing, if it occurs twice, or if
/// both sides are equal: nothing is dropped silently. `totals` counts each reason.
///
/// # Errors
/// Fails if a shard cannot be read or written, or if the shards come from several tokenisers.
pub fn benchmark(
    params: &BenchmarkParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, BenchmarkError> {
    let mut refused = Refused::default();
    for row in params.refused.clone() {
        refused.add(&row.reason, row.id, &row.source, &row.error);
    }
    // The key is the positive's item without its file. It orders and names the pair.
    let mut pairs: BTreeMap<BenchmarkItem, [Option<Found>; 2]> = BTreeMap::new();
    let mut tokeniser: Option<TokeniserInfo> = None;
    let mut splits = BTreeSet::new();
    for input in &unit.inputs {
        let path = context.path(input);
        let source = path.display().to_string();
        let reader = ShardReader::<UnitSequence>::open(&path)?;
        let info = TokeniserInfo::from_metadata(reader.metadata())
            .map_err(|e| BenchmarkError::Tokeniser(source.clone(), e.to_string()))?;
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
            let mut row = row?;
            if !splits.contains(&row.split) {
                splits.insert(row.split.clone());
            }
            let mut item = match row.item.take() {
                Some(Item::Benchmark(item)) => item,
                other => {
                    let found = other.as_ref().map_or("an utterance without an item", Item::what);
                    let error = format!("it is {found}, not an item of a suite");
                    refused.add("not an item of a suite", row.id, &source, &error);
                    continue;
                }
            };
            let slot = usize::from(item.side == Side::Negative);
            item.side = Side::Positive;
            let file = item.file.take();
            let sides = pairs.entry(item).or_default();
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
    for (item, sides) in pairs {
        match sides {
            [Some(positive), Some(negative)] if positive.units == negative.units => {
                let error = "both sides have the same units";
                refused.add("identical", item.pair_name(), &positive.source, error);
            }
            [Some(positive), Some(negative)] => {
                writer.push(BenchmarkPair {
                    item: item.into_pair(positive.file, negative.file),
                    positive: positive.units,
                    negative: negative.units,
                })?;
            }
            [Some(alone), None] | [None, Some(alone)] => {
                refused.add("without mate", item.pair_name(), &alone.source, "its mate is missing");
            }
            // Both sides were already refused above.
            [None, None] => {}
        }
    }
    let rows = writer.finish()?;
    Ok(Outcome { rows, quarantined: refused.rows, totals: refused.counts })
}

/// What was left out, and how often for each reason.
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
            stage: Stage::Benchmark,
            error: error.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicBool;

    use serde_json::json;
    use slam_dataset::shard;
    use slam_recipe::work::Input;
    use slam_recipe::{Key, ShardName, Work};

    use super::*;

    /// Makes unit shards of a suite with every possible error.
    fn shards(folder: &Path, identities: [&[u8]; 2]) -> Vec<Input> {
        let item = |pair: &str, side: &str, units: &[u16]| {
            let item = BenchmarkItem {
                suite: "s".into(),
                pair: pair.into(),
                voice: String::new(),
                kind: String::new(),
                subkind: String::new(),
                frequency: None,
                side: Side::named(side).unwrap(),
                file: Some(format!("{pair}-{side}")),
            };
            UnitSequence {
                id: item.utterance_id(),
                units: units.to_vec(),
                durations: vec![1; units.len()],
                split: "dev".into(),
                item: Some(Item::Benchmark(item)),
                ..Default::default()
            }
        };
        let rows = [
            // The sides of item 1 lie in two shards. Item 2 has no other side. The two sides of item 3 are
            // the same sound.
            vec![
                item("1", "positive", &[1, 2]),
                item("2", "positive", &[1]),
                item("3", "positive", &[4, 5]),
                item("1", "positive", &[9]),
            ],
            vec![
                item("1", "negative", &[2, 1]),
                item("3", "negative", &[4, 5]),
                item("4", "positive", &[]),
                UnitSequence { item: None, ..item("5", "positive", &[1]) },
            ],
        ];
        let mut inputs = Vec::new();
        for (i, rows) in rows.iter().enumerate() {
            let info = TokeniserInfo {
                identity: Key::of_bytes(identities[i]),
                name: "t".into(),
                layer: None,
                k: 10,
                units_per_second: 25.0,
            };
            let path = folder.join(format!("{i}.parquet"));
            shard::write(&path, rows, &info.to_metadata()).unwrap();
            inputs.push(Input { path, key: Key::of_bytes(&[i as u8]) });
        }
        inputs
    }

    fn run(folder: &Path, inputs: Vec<Input>) -> Result<Outcome, BenchmarkError> {
        let params: BenchmarkParams = serde_json::from_value(json!({"refused": [{"id": "x",
            "source": "gold.csv line 7", "reason": "rows without a recording",
            "error": "x.wav is not there"}]}))
        .unwrap();
        let work = Work::Benchmark(params.clone());
        let unit = WorkUnit::new(work, ShardName::new(0, 1), inputs, "out".into());
        let cancel = AtomicBool::new(false);
        let context = Context {
            root: folder,
            cancel: &cancel,
            progress: &|_| {},
            device: slam_recipe::device::DeviceSpec::Cpu,
            tools: BTreeMap::new(),
        };
        benchmark(&params, &unit, &context, &folder.join("out.parquet"))
    }

    #[test]
    fn whatever_is_left_out_is_counted_by_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(folder.path(), shards(folder.path(), [b"a", b"a"])).unwrap();
        let counts: Vec<_> =
            outcome.totals.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let expected = [
            "1 identical",
            "1 not an item of a suite",
            "1 rows without a recording",
            "1 twice",
            "1 without mate",
            "1 without units",
        ];
        assert_eq!(
            (counts, outcome.rows, outcome.quarantined.len()),
            (expected.map(String::from).into(), 1, 6)
        );
        let of_no_item = outcome.quarantined.iter().find(|q| q.id == "s/5/positive").unwrap();
        assert!(of_no_item.error.contains("without an item"), "{}", of_no_item.error);
        assert!(outcome.quarantined.iter().any(|q| q.id == "s/2" && q.error.contains("mate")));
        let reader =
            ShardReader::<BenchmarkPair>::open(&folder.path().join("out.parquet")).unwrap();
        assert_eq!(reader.metadata()[BenchmarkPair::SPLITS], "dev");
        let pair = reader.last().unwrap().unwrap();
        assert_eq!(pair.item.negative_file.as_deref(), Some("1-negative"));
        assert_eq!(
            (pair.item.pair.as_str(), pair.positive, pair.negative),
            ("1", vec![1, 2], vec![2, 1])
        );
    }

    #[test]
    fn shards_of_two_tokenisers_make_no_benchmark() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), shards(folder.path(), [b"a", b"b"])).unwrap_err();
        assert!(error.to_string().contains("unitise them alike"), "{error}");
    }
}
