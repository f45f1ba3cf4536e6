//! Pairs from a unit corpus without labels: a story's own continuation against another story's.
//!
//! The other story is one whose continuation has about the same length. Both continuations are cut to the
//! same number of units. So neither the length nor the voice of a single-speaker corpus tells them apart.

use std::path::Path;

use slam_dataset::rng::Rng;
use slam_dataset::schema::UnitSequence;
use slam_dataset::{Context, Outcome};
use slam_recipe::WorkUnit;
use slam_recipe::params::PairParams;
use slam_recipe::source::OwnContinuation;

use super::cut::{Cutter, Place};
use super::input::{only, report, sequences, stream};
use crate::error::PairError;
use crate::shard::PairShard;

/// The other story is drawn from this many stories of about the same length on either side.
const NEIGHBOURS: usize = 16;

/// Pairs of one unit shard: a story's mate is of the same shard, so that each shard is made alone.
pub(crate) fn own_continuation(
    own: &OwnContinuation,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    params: &PairParams,
) -> Result<Outcome, PairError> {
    let cutter = Cutter::new(&own.cut)?;
    if !(0.0..=1.0).contains(&own.min_length_ratio) {
        return Err(PairError::Config("min_length_ratio must be between 0 and 1".into()));
    }
    let path = context.path(only(&unit.inputs, "one unit shard")?);
    let read = sequences(&path, &own.split)?;
    let rate = read.tokeniser.units_per_second;
    let mut shard = PairShard::create(out, &read.tokeniser, &path, params.filter.max_auto_bleu2)?;
    let mut stories: Vec<(&UnitSequence, Place)> = Vec::new();
    for row in &read.rows {
        let mut rng = Rng::derive(own.seed, &[stream(&row.id), 0]);
        match cutter.place(row, rate, &mut rng) {
            Some(place) => stories.push((row, place)),
            None => shard.count("too_short", 1.0),
        }
    }
    // Sort by length, then by id. The order of a shard's rows does not matter.
    let mut by_length: Vec<usize> = (0..stories.len()).collect();
    by_length.sort_by_key(|&i| (stories[i].1.continuation, &stories[i].0.id));
    let mut rank = vec![0; stories.len()];
    for (r, &i) in by_length.iter().enumerate() {
        rank[i] = r;
    }
    for (i, (row, place)) in stories.iter().enumerate() {
        let near = rank[i].saturating_sub(NEIGHBOURS)..stories.len().min(rank[i] + NEIGHBOURS + 1);
        let mut near: Vec<usize> = by_length[near].to_vec();
        Rng::derive(own.seed, &[stream(&row.id), 1]).shuffle(&mut near);
        let length = |j: usize| place.continuation.min(stories[j].1.continuation);
        let longer = |j: usize| place.continuation.max(stories[j].1.continuation);
        let fits = |&j: &usize| {
            let (other, _) = &stories[j];
            j != i
                && other.units != row.units
                && (other.text.is_none() || other.text != row.text)
                && length(j) as f64 >= own.min_length_ratio * longer(j) as f64
        };
        let Some(j) = near.into_iter().find(fits) else {
            shard.count("without_mate", 1.0);
            continue;
        };
        let (other, other_place) = &stories[j];
        let chosen = Cutter::continuation(row, place, length(j), rate);
        let rejected = Cutter::continuation(other, other_place, length(j), rate);
        shard.add(&row.id, cutter.prompt(row, place, rate), chosen, rejected)?;
        if (i + 1) % 1024 == 0 {
            report(context, i + 1, stories.len())?;
        }
    }
    Ok(shard.finish()?)
}
