//! Likelihoods of whole sequences.

use crate::batch::{TokenBatch, next_tokens};
use crate::{Decoder, InputError, LmError};

/// Most tokens (with padding) scored in one forward pass.
const BATCH_TOKENS: usize = 8192;

/// Negative log-likelihood of one sequence, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SequenceNll {
    /// Sum over the tokens behind the first.
    pub sum: f64,
    /// Number of tokens in the sum.
    pub tokens: usize,
    /// The last token's share, which is the final `<S>`'s where the sequence ends with one.
    pub last: f64,
    /// Whether the sequence ends with `<S>`.
    pub ends: bool,
}

impl SequenceNll {
    /// Mean over the tokens; 0 where there is none.
    pub fn mean(&self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.sum / self.tokens as f64 }
    }

    /// The same without the final `<S>`, where there is one.
    pub fn without_end(self) -> Self {
        if !self.ends || self.tokens == 0 {
            return self;
        }
        Self { sum: self.sum - self.last, tokens: self.tokens - 1, last: 0.0, ends: false }
    }
}

/// Scores sequences, batched by length; the order of the result is that of the input, and padding
/// has no influence.
///
/// # Errors
/// When a sequence is longer than the model's positions or has a token outside its vocabulary.
pub fn sequence_nlls(decoder: &Decoder, sequences: &[&[u32]]) -> Result<Vec<SequenceNll>, LmError> {
    for (i, sequence) in sequences.iter().enumerate() {
        decoder
            .check_tokens(sequence)
            .map_err(|source| InputError::Sequence { sequence: i, source: Box::new(source) })?;
    }
    // A device outside autodiff records no graph.
    let device = decoder.device();
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|i| (sequences[*i].len(), *i));
    let mut out = vec![SequenceNll::default(); sequences.len()];
    let mut at = 0;
    while at < order.len() {
        let mut end = at + 1;
        while end < order.len() && (end + 1 - at) * sequences[order[end]].len() <= BATCH_TOKENS {
            end += 1;
        }
        let rows: Vec<Vec<&[u32]>> = order[at..end].iter().map(|i| vec![sequences[*i]]).collect();
        let batch = TokenBatch::packed(&rows, &device);
        let time = batch.dims()[1];
        // A single token follows nothing.
        let nll: Vec<f64> = if time > 1 {
            let nll = decoder.token_nll(&batch, next_tokens(&rows, &device));
            nll.into_data().iter::<f64>().collect()
        } else {
            vec![0.0; end - at]
        };
        for (i, row) in order[at..end].iter().zip(nll.chunks_exact(time.max(1))) {
            let tokens = sequences[*i].len().saturating_sub(1);
            out[*i] = SequenceNll {
                // From 0, since the sum of no numbers is -0.
                sum: row[..tokens].iter().fold(0.0, |sum, nll| sum + nll),
                tokens,
                last: tokens.checked_sub(1).map_or(0.0, |last| row[last]),
                ends: sequences[*i].last() == Some(&crate::BOS),
            };
        }
        at = end;
    }
    Ok(out)
}
