//! Pairs of spoken segments: each pair has three consecutive rows.

use std::path::Path;

use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader};
use slam_dataset::{Context, Outcome};
use slam_recipe::WorkUnit;
use slam_recipe::item::{Item, PairSegment, Segment as Part};

use super::input::{only, report};
use crate::error::PairError;
use crate::shard::{PairShard, Segment};
use slam_recipe::params::PairParams;

/// The number of rows between progress reports.
const REPORT_ROWS: usize = 256;

/// Makes the pairs of one unit shard whose rows are segments of pairs ([`PairSegment`]). A pair's segments are
/// consecutive rows.
pub(crate) fn segments(
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    params: &PairParams,
) -> Result<Outcome, PairError> {
    let path = context.path(only(&unit.inputs, "one unit shard")?);
    let reader = ShardReader::<UnitSequence>::open(&path)?;
    let info = TokeniserInfo::from_metadata(reader.metadata())
        .map_err(|e| PairError::Tokeniser { path: path.clone(), reason: e })?;
    let total = reader.num_rows() as usize;
    let mut shard = PairShard::create(out, &info, &path, params.filter.max_auto_bleu2)?;
    let mut current: Option<(String, [Option<UnitSequence>; 3])> = None;
    for (i, row) in reader.enumerate() {
        let mut row = row?;
        let PairSegment { pair, segment } = match row.item.take() {
            Some(Item::Pair(segment)) => segment,
            other => {
                let found = other.as_ref().map_or("an utterance without an item", Item::what);
                shard.refuse(&row.id, format!("it is {found}, not a segment of a preference pair"));
                continue;
            }
        };
        if current.as_ref().is_none_or(|(id, _)| *id != pair)
            && let Some((id, segments)) = current.replace((pair, [None, None, None]))
        {
            add(&mut shard, &id, segments)?;
        }
        if let Some((_, segments)) = &mut current {
            let slot = match segment {
                Part::Prompt => 0,
                Part::Chosen => 1,
                Part::Rejected => 2,
            };
            if segments[slot].is_some() {
                shard.refuse(&row.id, "the segment occurs twice");
            } else {
                segments[slot] = Some(row);
            }
        }
        if (i + 1) % REPORT_ROWS == 0 {
            report(context, i + 1, total)?;
        }
    }
    if let Some((id, segments)) = current {
        add(&mut shard, &id, segments)?;
    }
    Ok(shard.finish()?)
}

fn add(
    shard: &mut PairShard,
    id: &str,
    segments: [Option<UnitSequence>; 3],
) -> Result<(), ShardError> {
    let [Some(prompt), Some(chosen), Some(rejected)] = segments else {
        shard.refuse(id, "the prompt, the chosen or the rejected segment is missing");
        return Ok(());
    };
    let segment = |row: UnitSequence| Segment { units: row.units, text: row.text };
    shard.add(id, segment(prompt), segment(chosen), segment(rejected)).map(|_| ())
}
