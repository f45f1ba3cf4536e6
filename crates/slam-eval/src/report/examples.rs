//! Items to listen to: the pairs that the model gets most right and most wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use slam_dataset::schema::{Score, Utterance};
use slam_dataset::shard::ShardReader;
use slam_recipe::item::{BenchmarkItem, Item, Side};

use super::error::ReportError;
use crate::aggregate::Compare;
use crate::record::Evaluation;

/// The longest FLAC file, in bytes, that is embedded: about half a minute of speech.
const LONGEST: usize = 500_000;

/// A pair with its sound.
#[derive(Serialize)]
pub(super) struct Clip {
    suite: String,
    kind: String,
    voice: String,
    /// How much more likely the positive is, in nats per token.
    margin: f64,
    positive: Sound,
    negative: Sound,
}

/// An utterance with its text.
#[derive(Clone, Default, Serialize)]
struct Sound {
    text: Option<String>,
    /// The FLAC file in base64.
    flac: String,
}

/// Picks `count` items from each end of each suite, and finds their sound in the corpus shards. Leaves out
/// items whose sound is missing, or too long to embed.
pub(super) fn pick(
    scores: &[Score],
    evaluation: &Evaluation,
    count: usize,
    shards: &[&PathBuf],
) -> Result<Vec<Clip>, ReportError> {
    let mut suites: BTreeMap<&str, Vec<(f64, &Score)>> = BTreeMap::new();
    for score in scores {
        let Some(suite) = evaluation.suite(&score.item.suite) else { continue };
        suites.entry(&score.item.suite).or_default().push((suite.convention.margin(score), score));
    }
    let mut chosen = Vec::new();
    for items in suites.values_mut() {
        items.sort_by(|a, b| b.0.total_cmp(&a.0));
        let ends = items.len().min(2 * count);
        let (best, worst) = (ends.div_ceil(2), ends / 2);
        chosen.extend(items[..best].iter().chain(&items[items.len() - worst..]).copied());
    }
    let mut wanted: BTreeMap<BenchmarkItem, Option<Sound>> = BTreeMap::new();
    for (_, score) in &chosen {
        for side in Side::ALL {
            wanted.insert(score.item.side(side), None);
        }
    }
    for path in shards {
        if wanted.values().all(Option::is_some) {
            break;
        }
        // A machine that only trains has no recordings; the report then shows none.
        if !path.is_file() {
            continue;
        }
        // Audio is not kept in memory: rows pass by one at a time.
        for row in ShardReader::<Utterance>::open(path)? {
            let row = row?;
            if row.flac.len() > LONGEST {
                continue;
            }
            let Some(Item::Benchmark(item)) = &row.item else { continue };
            if let Some(place) = wanted.get_mut(item) {
                *place = Some(Sound { text: row.text, flac: STANDARD.encode(&row.flac) });
            }
        }
    }
    let sound = |item: BenchmarkItem| wanted.get(&item).cloned().flatten();
    Ok(chosen
        .into_iter()
        .filter_map(|(margin, score)| {
            Some(Clip {
                suite: score.item.suite.clone(),
                kind: score.item.kind.clone(),
                voice: score.item.voice.clone(),
                margin,
                positive: sound(score.item.side(Side::Positive))?,
                negative: sound(score.item.side(Side::Negative))?,
            })
        })
        .collect())
}
