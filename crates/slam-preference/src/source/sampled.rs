//! Pairs from a model's own continuations. Several continuations of a prompt are sampled, a scorer ranks
//! them, and the best and the worst form a pair (as in Align-SLM, which uses an ASR and an LLM: Lin et al.
//! 2024).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_dataset::work::Input;
use slam_dataset::{Context, Outcome, WorkUnit};

use super::cut::Cut;
use super::{report, sequences, stream};
use crate::error::PairError;
use crate::scorer::{Answer, Candidate, Scorer, ScorerConfig, ScorerError};
use crate::shard::{PairShard, Segment};
use crate::stage::{OpenSampler, PairParams};

/// A model's ranked continuations. In a pipeline, `of` names the dataset of the prompts, and `checkpoint`
/// names the model's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// The scorer that ranks the continuations.
    pub scorer: ScorerConfig,
    /// Which score is better.
    #[serde(default)]
    pub better: Better,
    /// The least difference between the best and the worst score. Prompts with a smaller difference are
    /// left out.
    #[serde(default)]
    pub min_margin: f64,
    /// The split of the rows. The beginnings of these rows are the prompts.
    #[serde(default = "train")]
    pub split: String,
    /// The most prompts of a shard, chosen at random; 0 takes all.
    #[serde(default)]
    pub prompts: usize,
    /// The number of continuations of each prompt.
    #[serde(default = "five")]
    pub samples: usize,
    /// The seed of the prompts and of the continuations.
    #[serde(default)]
    pub seed: u64,
    /// Where rows are cut.
    #[serde(default)]
    pub cut: Cut,
    /// How continuations are sampled.
    #[serde(default)]
    pub sampling: Sampling,
}

/// Which score is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher score is better, as with a judge's mark.
    #[default]
    Higher,
    /// The lower score is better, as with a perplexity.
    Lower,
}

/// How continuations are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// The most units of a continuation.
    pub max_units: usize,
    /// Divides the logits.
    pub temperature: f64,
    /// Keeps the `k` most likely units; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most likely units until their probabilities sum to `p`; 1 keeps all.
    pub top_p: f64,
    /// Divides the positive logits of units seen so far, and multiplies the negative ones; 1 changes
    /// nothing.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// The recipe's settings for generation.
    fn default() -> Self {
        Self { max_units: 150, temperature: 0.8, top_k: 25, top_p: 1.0, repetition_penalty: 1.1 }
    }
}

fn train() -> String {
    "train".to_owned()
}

fn five() -> usize {
    5
}

/// A model that continues prompts.
pub trait Sampler {
    /// Returns `count` continuations of a prompt. The random streams depend on `seed` alone.
    ///
    /// # Errors
    /// Fails if the prompt does not fit the model; the message says why.
    fn sample(&mut self, prompt: &[u16], count: usize, seed: u64) -> Result<Vec<Vec<u16>>, String>;
}

/// Makes the pairs of one unit shard and a checkpoint.
pub(crate) fn sampled(
    source: &Sampled,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
    params: &PairParams,
    open_sampler: &OpenSampler<'_>,
) -> Result<Outcome, PairError> {
    source.cut.check().map_err(PairError::Config)?;
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
    let mut shard = PairShard::create(out, &read.tokeniser, &path, params.max_auto_bleu2)?;
    let mut sampler =
        open_sampler(&checkpoint, &read.tokeniser, &source.sampling).map_err(PairError::Sampler)?;
    let mut scorer = source.scorer.open()?;
    for (done, row) in read.rows.iter().enumerate() {
        report(context, done, read.rows.len())?;
        let mut rng = Rng::derive(source.seed, &[stream(&row.id), 0]);
        let Some(place) = source.cut.place(row, rate, &mut rng) else {
            shard.count("too_short", 1.0);
            continue;
        };
        let prompt = source.cut.prompt(row, &place, rate);
        let continuations = match sampler.sample(&prompt.units, source.samples, rng.next_u64()) {
            Ok(continuations) => continuations,
            Err(error) => {
                shard.refuse(&row.id, error);
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
