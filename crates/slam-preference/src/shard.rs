//! A shard of pairs while it is written. The checks, the filter and the quarantine are the same for every
//! source.

use std::path::Path;

use slam_dataset::Outcome;
use slam_dataset::schema::{PreferencePair, TokeniserInfo};
use slam_dataset::shard::{ShardError, ShardWriter};
use slam_recipe::Stage;
use slam_recipe::work::Quarantined;

use crate::auto_bleu::auto_bleu;

/// One side of a pair, or its prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Segment {
    pub(crate) units: Vec<u16>,
    pub(crate) text: Option<String>,
}

/// A shard that is being written.
pub(crate) struct PairShard {
    writer: ShardWriter<PreferencePair>,
    outcome: Outcome,
    /// The file that the rows come from. The quarantine names it.
    source: String,
    max_auto_bleu2: f32,
    k: u32,
}

impl PairShard {
    pub(crate) fn create(
        out: &Path,
        info: &TokeniserInfo,
        source: &Path,
        max_auto_bleu2: f32,
    ) -> Result<Self, ShardError> {
        let mut outcome = Outcome::default();
        outcome.totals.insert("filtered".to_owned(), 0.0);
        Ok(Self {
            writer: ShardWriter::create(out, &info.to_metadata())?,
            outcome,
            source: source.display().to_string(),
            max_auto_bleu2,
            k: info.k,
        })
    }

    /// Leaves an input out and records why.
    pub(crate) fn refuse(&mut self, id: &str, error: impl Into<String>) {
        self.outcome.quarantined.push(Quarantined {
            id: id.to_owned(),
            source: self.source.clone(),
            stage: Stage::Pair,
            error: error.into(),
        });
    }

    /// Adds to a count in the receipt.
    pub(crate) fn count(&mut self, what: &str, by: f64) {
        *self.outcome.totals.entry(what.to_owned()).or_default() += by;
    }

    /// Adds a pair. Leaves it out if a segment is empty, if a unit is not one of the tokeniser's, if both
    /// continuations are the same, or if the text repeats itself. Returns whether the pair was added.
    pub(crate) fn add(
        &mut self,
        id: &str,
        prompt: Segment,
        chosen: Segment,
        rejected: Segment,
    ) -> Result<bool, ShardError> {
        let segments = [&prompt, &chosen, &rejected];
        if segments.iter().any(|s| s.units.is_empty()) {
            self.refuse(id, "a segment has no units");
            return Ok(false);
        }
        let k = self.k;
        if let Some(unit) = segments.iter().flat_map(|s| &s.units).find(|u| u32::from(**u) >= k) {
            self.refuse(id, format!("unit {unit} of a tokeniser with {k}"));
            return Ok(false);
        }
        if chosen.units == rejected.units {
            self.refuse(id, "the chosen and the rejected segment are the same");
            return Ok(false);
        }
        let auto_bleu2 = match (&prompt.text, &chosen.text) {
            (Some(p), Some(c)) => Some(auto_bleu(&format!("{p} {c}"), 2)),
            _ => None,
        };
        if auto_bleu2.is_some_and(|b| b >= self.max_auto_bleu2) {
            self.count("filtered", 1.0);
            return Ok(false);
        }
        self.writer.push(PreferencePair {
            id: id.to_owned(),
            prompt: prompt.units,
            chosen: chosen.units,
            rejected: rejected.units,
            prompt_text: prompt.text,
            chosen_text: chosen.text,
            rejected_text: rejected.text,
            auto_bleu2,
        })?;
        Ok(true)
    }

    pub(crate) fn finish(self) -> Result<Outcome, ShardError> {
        let mut outcome = self.outcome;
        outcome.rows = self.writer.finish()?;
        Ok(outcome)
    }
}
