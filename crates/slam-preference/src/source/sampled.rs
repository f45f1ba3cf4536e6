//! Pairs from a model's own continuations. Several continuations of a prompt are sampled, a scorer ranks
//! them, and the best and the worst form a pair (as in Align-SLM, which uses an ASR and an LLM: Lin et al.
//! 2024).

use std::path::{Path, PathBuf};

use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_dataset::{Context, Outcome};
use slam_recipe::WorkUnit;
use slam_recipe::params::PairParams;
use slam_recipe::source::{Better, Sampled};
use slam_recipe::work::Input;

use super::cut::Cutter;
use super::input::{report, sequences, stream};
use crate::error::PairError;
use crate::sampler::OpenSampler;
use crate::scorer::{self, Answer, Candidate, Scorer, ScorerError};
use crate::shard::{PairShard, Segment};

/// Makes the pairs of one unit shard and a checkpoint.
pub(crate) fn sampled(
    source: &Sampled,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    params: &PairParams,
    open_sampler: &OpenSampler<'_>,
) -> Result<Outcome, PairError> {
    let cutter = Cutter::new(&source.cut)?;
    if source.samples < 2 || source.sampling.max_units == 0 || source.sampling.temperature <= 0.0 {
        let message = "samples must be at least 2, sampling.max_units and temperature above 0";
        return Err(PairError::Config(message.into()));
    }
    let (path, checkpoint) = inputs(&unit.inputs, context)?;
    let mut read = sequences(&path, &source.split)?;
    let rate = read.tokeniser.units_per_second;
    if source.prompts > 0 && read.rows.len() > source.prompts {
        Rng::derive(source.seed, &[u64::from(unit.shard.index)]).shuffle(&mut read.rows);
        read.rows.truncate(source.prompts);
    }
    let mut shard = PairShard::create(out, &read.tokeniser, &path, params.filter.max_auto_bleu2)?;
    let mut sampler =
        open_sampler(&checkpoint, &read.tokeniser, &source.sampling).map_err(PairError::Sampler)?;
    let mut scorer = scorer::open(&source.scorer)?;
    for (done, row) in read.rows.iter().enumerate() {
        report(context, done, read.rows.len())?;
        let mut rng = Rng::derive(source.seed, &[stream(&row.id), 0]);
        let Some(place) = cutter.place(row, rate, &mut rng) else {
            shard.count("too_short", 1.0);
            continue;
        };
        let prompt = cutter.prompt(row, &place, rate);
        let continuations = match sampler.sample(&prompt.units, source.samples, rng.next_u64()) {
            Ok(continuations) => continuations,
            Err(error) => {
                shard.refuse(&row.id, error.to_string());
                continue;
            }
        };
        // The model may end at once. Such a continuation is empty and cannot be ranked.
        let continuations: Vec<_> = continuations.into_iter().filter(|c| !c.is_empty()).collect();
        let about = About { id: &row.id, prompt: &prompt, tokeniser: &read.tokeniser };
        match score(scorer.as_mut(), &about, &continuations) {
            Ok(answers) => add(&mut shard, source, &row.id, prompt, continuations, answers)?,
            Err(ScorerError::Answer(error)) => shard.refuse(&row.id, error),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(shard.finish()?)
}

/// Returns the unit shard and the folder of the checkpoint.
fn inputs(inputs: &[Input], context: &Context<'_>) -> Result<(PathBuf, PathBuf), PairError> {
    let config = inputs.iter().skip(1).find(|i| i.path.ends_with("config.json"));
    let folder = config.map(|i| context.path(i)).and_then(|p| p.parent().map(Path::to_owned));
    match (inputs.first(), folder) {
        (Some(units), Some(folder)) => Ok((context.path(units), folder)),
        _ => Err(PairError::Inputs {
            found: inputs.len(),
            expected: "a unit shard and the files of a checkpoint",
        }),
    }
}

struct About<'a> {
    id: &'a str,
    prompt: &'a Segment,
    tokeniser: &'a TokeniserInfo,
}

fn score(
    scorer: &mut dyn Scorer,
    about: &About<'_>,
    continuations: &[Vec<u16>],
) -> Result<Vec<Answer>, ScorerError> {
    continuations
        .iter()
        .enumerate()
        .map(|(sample, continuation)| {
            scorer.score(&Candidate {
                id: about.id,
                sample,
                prompt: &about.prompt.units,
                continuation,
                prompt_text: about.prompt.text.as_deref(),
                tokeniser: &about.tokeniser.name,
                units_per_second: about.tokeniser.units_per_second,
            })
        })
        .collect()
}

fn add(
    shard: &mut PairShard,
    source: &Sampled,
    id: &str,
    prompt: Segment,
    continuations: Vec<Vec<u16>>,
    answers: Vec<Answer>,
) -> Result<(), PairError> {
    shard.count("scored", answers.len() as f64);
    let mut ranked: Vec<(f64, Segment)> = answers
        .into_iter()
        .zip(continuations)
        .map(|(a, units)| {
            let score = if source.better == Better::Higher { a.score } else { -a.score };
            (score, Segment { units, text: a.text })
        })
        .collect();
    // The sort is stable: of equal scores, the first sample is the better one.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (Some(worst), true) = (ranked.pop(), !ranked.is_empty()) else {
        shard.count("too_few", 1.0);
        return Ok(());
    };
    let best = ranked.swap_remove(0);
    let margin = best.0 - worst.0;
    if margin <= 0.0 || margin < source.min_margin {
        shard.count("without_margin", 1.0);
        return Ok(());
    }
    if shard.add(id, prompt, best.1, worst.1)? {
        shard.count("margin", margin);
    }
    Ok(())
}
