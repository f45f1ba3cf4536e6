//! The stage `pair`: it makes one shard of pairs from one unit of work.

use std::path::Path;

use slam_dataset::{Context, Outcome};
use slam_recipe::WorkUnit;
use slam_recipe::params::PairParams;
use slam_recipe::source::Source;

use crate::error::PairError;
use crate::sampler::OpenSampler;
use crate::source;

/// Makes one shard of pairs. Input that cannot form a pair goes to quarantine. A repetitive pair is left
/// out and counted as `filtered`.
///
/// # Errors
/// Fails if the parameters are not understood, a file cannot be read or written, or the model or the scorer
/// of sampled pairs does not work.
pub fn pair(
    params: &PairParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    open_sampler: &OpenSampler<'_>,
) -> Result<Outcome, PairError> {
    let (index, count) = params.part;
    if index >= count {
        return Err(PairError::Config(format!("there is no part {index} of {count}")));
    }
    match params.source.as_ref() {
        None => source::segments(unit, context, out, params),
        Some(Source::SlamkitPairs(lines)) => source::slamkit(lines, unit, context, out, params),
        Some(Source::OwnContinuation(own)) => {
            source::own_continuation(own, unit, context, out, params)
        }
        Some(Source::Sampled(sampled)) => {
            source::sampled(sampled, unit, context, out, params, open_sampler)
        }
        Some(other) => Err(PairError::NoPairs { kind: other.kind() }),
    }
}
