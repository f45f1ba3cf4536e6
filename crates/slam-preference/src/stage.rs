//! The stage `pair`: it makes one shard of pairs from one unit of work.

use std::path::Path;

use serde::Deserialize;
use slam_dataset::schema::TokeniserInfo;
use slam_dataset::{Context, Outcome, WorkUnit};

use crate::error::PairError;
use crate::source::{self, PairSource, Sampler, Sampling};

/// Parameters of the stage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairParams {
    /// Pairs whose prompt and chosen text repeat this share of their bigrams or more are left out.
    pub max_auto_bleu2: f32,
    /// Where pairs come from.
    pub source: PairSource,
    /// The part of the input's rows that this shard holds: `[i, n]`.
    pub part: (u32, u32),
}

impl Default for PairParams {
    /// The recipe's threshold of 0.3, with spoken segments as the source.
    fn default() -> Self {
        Self { max_auto_bleu2: 0.3, source: PairSource::Segments, part: (0, 1) }
    }
}

/// Opens the model in a checkpoint's folder for [`PairSource::Sampled`]. The stage does not know models, so
/// the worker supplies one.
pub type OpenSampler<'a> =
    dyn Fn(&Path, &TokeniserInfo, &Sampling) -> Result<Box<dyn Sampler>, String> + 'a;

/// Makes one shard of pairs. Input that cannot form a pair goes to quarantine. A repetitive pair is left
/// out and counted as `filtered`.
///
/// # Errors
/// Fails if the parameters are not understood, a file cannot be read or written, or the model or the scorer
/// of sampled pairs does not work.
pub fn pair(
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    open_sampler: &OpenSampler<'_>,
) -> Result<Outcome, PairError> {
    let params: PairParams = unit.params()?;
    let (index, count) = params.part;
    if index >= count {
        return Err(PairError::Config(format!("there is no part {index} of {count}")));
    }
    match &params.source {
        PairSource::Segments => source::segments(unit, context, out, &params),
        PairSource::SlamkitPairs(lines) => source::slamkit(lines, unit, context, out, &params),
        PairSource::OwnContinuation(own) => {
            source::own_continuation(own, unit, context, out, &params)
        }
        PairSource::Sampled(sampled) => {
            source::sampled(sampled, unit, context, out, &params, open_sampler)
        }
    }
}
