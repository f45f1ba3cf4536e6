//! Scores benchmark pairs: the likelihoods of pairs under a model, one row per item.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use slam_dataset::schema::{BenchmarkPair, NoTokeniser, Score, TokeniserInfo};
use slam_dataset::shard::{self, ShardError, ShardReader};
use slam_lm::score::{SequenceNll, sequence_nlls};
use slam_lm::tokenizer::unit_tokens;
use slam_lm::{BOS, Decoder, LmError};

/// The number of pairs that are sorted by length and scored at once. Large enough that batches waste little
/// padding, small enough that memory stays flat.
const BATCH: usize = 4096;

/// The reasons why scores could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A shard cannot be read or written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The model cannot be loaded, or does not accept the units.
    #[error("{path}: {source}")]
    Model {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        source: Box<LmError>,
    },
    /// The model and the benchmark come from different tokenisers.
    #[error(
        "{shard} was made by tokeniser {found}, but {model} was trained on units of {expected}; unitise the benchmark with the model's tokeniser"
    )]
    Tokeniser {
        /// The benchmark shard.
        shard: PathBuf,
        /// The tokeniser of the benchmark shard.
        found: String,
        /// The checkpoint.
        model: PathBuf,
        /// The tokeniser of the checkpoint.
        expected: String,
    },
    /// A shard does not name its tokeniser.
    #[error("{path}: {reason}", path = path.display())]
    Metadata {
        /// The shard.
        path: PathBuf,
        /// What is wrong.
        reason: NoTokeniser,
    },
    /// A model without likelihoods.
    #[error(
        "{model}: the likelihood of item '{id}' of {suite} is not a finite number; the checkpoint's weights are broken \
         (NaN or infinite)"
    )]
    NotFinite {
        /// The checkpoint.
        model: PathBuf,
        /// The suite.
        suite: String,
        /// The item.
        id: String,
    },
}

/// Scores every pair of the benchmark shards under a model, and writes one scores shard in the order of the
/// shards. `tokeniser` is the tokeniser of the model's units, if its checkpoint names one.
///
/// # Errors
/// Fails if a shard or the model cannot be read, or if their tokenisers differ.
pub fn evaluate(
    checkpoint: &Path,
    tokeniser: Option<&TokeniserInfo>,
    shards: &[PathBuf],
    device: &Device,
    out: &Path,
) -> Result<Vec<Score>, EvaluateError> {
    let wrap =
        |source| EvaluateError::Model { path: checkpoint.to_owned(), source: Box::new(source) };
    let model = Decoder::load(checkpoint, device).map_err(wrap)?;
    let mut scores = Vec::new();
    for path in shards {
        let mut reader = ShardReader::<BenchmarkPair>::open(path)?;
        let info = TokeniserInfo::from_metadata(reader.metadata())
            .map_err(|e| EvaluateError::Metadata { path: path.clone(), reason: e })?;
        if let Some(expected) = tokeniser.filter(|t| t.identity != info.identity) {
            let name = |i: &TokeniserInfo| format!("{} ({})", i.name, i.identity.short());
            return Err(EvaluateError::Tokeniser {
                shard: path.clone(),
                found: name(&info),
                model: checkpoint.to_owned(),
                expected: name(expected),
            });
        }
        loop {
            let pairs = reader.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
            if pairs.is_empty() {
                break;
            }
            let batch = score(&model, pairs).map_err(wrap)?;
            if let Some(score) = batch.iter().find(|s| !is_finite(s)) {
                return Err(EvaluateError::NotFinite {
                    model: checkpoint.to_owned(),
                    suite: score.item.suite.clone(),
                    id: score.item.pair.clone(),
                });
            }
            scores.extend(batch);
        }
    }
    shard::write(out, &scores, &BTreeMap::new())?;
    Ok(scores)
}

fn is_finite(score: &Score) -> bool {
    let Score { positive_nll, negative_nll, positive_eos_nll, negative_eos_nll, .. } = *score;
    [positive_nll, negative_nll, positive_eos_nll, negative_eos_nll].iter().all(|v| v.is_finite())
}

/// Scores pairs. Each sequence is `<S>`, its units, `<S>`.
pub(crate) fn score(model: &Decoder, pairs: Vec<BenchmarkPair>) -> Result<Vec<Score>, LmError> {
    let sequences: Vec<Vec<u32>> = pairs
        .iter()
        .flat_map(|p| [&p.positive, &p.negative])
        .map(|units| {
            let mut tokens = vec![BOS];
            tokens.extend(unit_tokens(units));
            tokens.push(BOS);
            tokens
        })
        .collect();
    let borrowed: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let nlls = sequence_nlls(model, &borrowed)?;
    let without_end = |n: &SequenceNll| n.without_end();
    Ok(pairs
        .into_iter()
        .zip(nlls.chunks_exact(2))
        .map(|(pair, nll)| {
            let (positive, negative) = (without_end(&nll[0]), without_end(&nll[1]));
            Score {
                item: pair.item,
                positive_nll: positive.sum,
                negative_nll: negative.sum,
                positive_eos_nll: nll[0].last,
                negative_eos_nll: nll[1].last,
                positive_tokens: positive.tokens as u32,
                negative_tokens: negative.tokens as u32,
            }
        })
        .collect())
}
