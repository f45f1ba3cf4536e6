//! The stage pair: unit shards of segments to shards of pairs.

use std::path::Path;

use serde::Deserialize;
use slam_dataset::key::Segment;
use slam_dataset::schema::{PreferencePair, TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::{Progress, Quarantined, WorkError};
use slam_dataset::{Context, Outcome, SegmentKey, WorkUnit, stage};

use crate::auto_bleu::auto_bleu;

/// Parameters of the stage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairParams {
    /// Pairs whose prompt and chosen text repeat this share of their bigrams or more are left out.
    pub max_auto_bleu2: f32,
}

impl Default for PairParams {
    /// The recipe's 0.3.
    fn default() -> Self {
        Self { max_auto_bleu2: 0.3 }
    }
}

/// Pairs that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
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

/// Makes one shard of pairs of one unit shard whose ids are [`SegmentKey`]s; a pair's segments follow each
/// other. An incomplete pair, and one with an empty segment, goes to quarantine; a repetitive one is left
/// out and counted as `filtered`.
///
/// # Errors
/// If a shard cannot be read or written.
pub fn pair(unit: &WorkUnit, context: &Context<'_>, out: &Path) -> Result<Outcome, PairError> {
    let params: PairParams = unit.params()?;
    let [input] = &unit.inputs[..] else { return Err(PairError::Inputs(unit.inputs.len())) };
    let path = context.path(input);
    let reader = ShardReader::<UnitSequence>::open(&path)?;
    let info = TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| PairError::Tokeniser(path.display().to_string(), e))?;
    let total = reader.num_rows() as f64;
    let mut stage = Stage {
        writer: ShardWriter::create(out, &info.to_metadata())?,
        outcome: Outcome::default(),
        source: path.display().to_string(),
        params,
        filtered: 0,
    };
    let mut current: Option<(String, [Option<UnitSequence>; 3])> = None;
    for (i, row) in reader.enumerate() {
        let row = row?;
        let key: SegmentKey = match row.id.parse() {
            Ok(key) => key,
            Err(e) => {
                stage.refuse(&row.id, &format!("{e}"));
                continue;
            }
        };
        if current.as_ref().is_none_or(|(id, _)| *id != key.pair)
            && let Some((id, segments)) = current.replace((key.pair.clone(), [None, None, None]))
        {
            stage.add(id, segments)?;
        }
        if let Some((_, segments)) = &mut current {
            let slot = match key.segment {
                Segment::Prompt => 0,
                Segment::Chosen => 1,
                Segment::Rejected => 2,
            };
            if segments[slot].is_some() {
                stage.refuse(&row.id, "the segment occurs twice");
            } else {
                segments[slot] = Some(row);
            }
        }
        (context.progress)(Progress { done: i as f64 + 1.0, total, unit: "rows" });
    }
    if let Some((id, segments)) = current {
        stage.add(id, segments)?;
    }
    let Stage { writer, mut outcome, filtered, .. } = stage;
    outcome.rows = writer.finish()?;
    outcome.totals.insert("filtered".to_owned(), f64::from(filtered));
    Ok(outcome)
}

struct Stage {
    writer: ShardWriter<PreferencePair>,
    outcome: Outcome,
    source: String,
    params: PairParams,
    filtered: u32,
}

impl Stage {
    fn refuse(&mut self, id: &str, error: &str) {
        self.outcome.quarantined.push(Quarantined {
            id: id.to_owned(),
            source: self.source.clone(),
            stage: stage::PAIR.name.to_owned(),
            error: error.to_owned(),
        });
    }

    fn add(&mut self, id: String, segments: [Option<UnitSequence>; 3]) -> Result<(), ShardError> {
        let [Some(prompt), Some(chosen), Some(rejected)] = segments else {
            self.refuse(&id, "the prompt, the chosen or the rejected segment is missing");
            return Ok(());
        };
        if prompt.units.is_empty() || chosen.units.is_empty() || rejected.units.is_empty() {
            self.refuse(&id, "a segment has no units");
            return Ok(());
        }
        if chosen.units == rejected.units {
            self.refuse(&id, "the chosen and the rejected segment are the same");
            return Ok(());
        }
        let auto_bleu2 = match (&prompt.text, &chosen.text) {
            (Some(p), Some(c)) => Some(auto_bleu(&format!("{p} {c}"), 2)),
            _ => None,
        };
        if auto_bleu2.is_some_and(|b| b >= self.params.max_auto_bleu2) {
            self.filtered += 1;
            return Ok(());
        }
        self.writer.push(PreferencePair {
            id,
            prompt: prompt.units,
            chosen: chosen.units,
            rejected: rejected.units,
            prompt_text: prompt.text,
            chosen_text: chosen.text,
            rejected_text: rejected.text,
            auto_bleu2,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_dataset::{Key, ShardName, shard};
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicBool;

    fn segment(id: &str, units: &[u16], text: &str) -> UnitSequence {
        UnitSequence {
            id: id.into(),
            units: units.into(),
            durations: vec![1; units.len()],
            text: Some(text.into()),
            ..Default::default()
        }
    }

    #[test]
    fn whole_pairs_are_kept_and_the_rest_is_accounted_for() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in.parquet");
        let rows = [
            segment("a#prompt", &[1], "x y"),
            segment("a#chosen", &[2], "z"),
            segment("a#rejected", &[3], "w"),
            segment("b#prompt", &[1], "x"),
            segment("c#prompt", &[1], "x y x y"),
            segment("c#chosen", &[2], "x y"),
            segment("c#rejected", &[3], "w"),
            segment("d#prompt", &[1], "x"),
            segment("d#chosen", &[2], "y"),
            segment("d#rejected", &[2], "z"),
            segment("nonsense", &[2], "z"),
        ];
        let info = TokeniserInfo {
            identity: Key::of_bytes(b"t"),
            name: "t".into(),
            layer: None,
            k: 4,
            units_per_second: 25.0,
        };
        shard::write(&input, &rows, &info.to_metadata()).unwrap();
        let cancel = AtomicBool::new(false);
        let context = Context {
            root: dir.path(),
            cancel: &cancel,
            progress: &|_| (),
            device: "cpu".into(),
            tools: BTreeMap::new(),
        };
        let inputs =
            vec![slam_dataset::work::Input { path: "in.parquet".into(), key: Key::of_bytes(b"i") }];
        let unit = WorkUnit::new(
            "pair",
            1,
            ShardName::new(0, 1),
            serde_json::json!({}),
            inputs,
            "out.parquet".into(),
        );
        let out = dir.path().join("out.parquet");
        let outcome = pair(&unit, &context, &out).unwrap();
        let pairs = shard::read::<PreferencePair>(&out).unwrap();
        assert_eq!(pairs.len(), 1);
        assert_eq!((pairs[0].id.as_str(), pairs[0].auto_bleu2), ("a", Some(0.0)));
        assert_eq!(outcome.totals["filtered"], 1.0);
        let refused: Vec<_> = outcome.quarantined.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(refused, ["b", "nonsense", "d"]);
    }
}
