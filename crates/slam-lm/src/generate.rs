//! Continuing prompts: sampling as transformers' logits processors define it, over a cache.

use crate::{Decoder, InputError, LmError, Rng};
use std::ops::ControlFlow;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens added to a prompt.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token (greedy).
    pub temperature: f64,
    /// Keeps the `k` likeliest tokens (and ties with the last); 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest tokens whose probabilities reach `p`; 1 keeps all.
    pub top_p: f64,
    /// Divides positive and multiplies negative logits of tokens seen (Keskar et al. 2019); 1 for
    /// none.
    pub repetition_penalty: f64,
    /// Ends a sequence; kept in the output.
    pub stop: Option<u32>,
    /// Seed; each prompt draws from its own stream.
    pub seed: u64,
}

impl Default for GenerateOptions {
    /// The recipe's: temperature 0.8, top-k 25, 150 new tokens, repetition penalty 1.1.
    fn default() -> Self {
        Self {
            max_new_tokens: 150,
            temperature: 0.8,
            top_k: 25,
            top_p: 1.0,
            repetition_penalty: 1.1,
            stop: Some(crate::BOS),
            seed: 0,
        }
    }
}

impl GenerateOptions {
    /// The likeliest token each time, nothing stretched.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Some(crate::BOS),
            seed: 0,
        }
    }
}

/// The probabilities that a token is drawn from, in transformers' order: repetition penalty,
/// temperature, top-k, top-p.
pub fn probabilities(logits: &[f32], seen: &[u32], options: &GenerateOptions) -> Vec<f32> {
    let mut scores = penalised(logits, seen, options);
    if options.temperature > 0.0 {
        for s in &mut scores {
            *s /= options.temperature as f32;
        }
    }
    let mut sorted: Vec<usize> = (0..scores.len()).collect();
    sorted.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    if options.top_k > 0 && options.top_k < scores.len() {
        let threshold = scores[sorted[options.top_k - 1]];
        scores.iter_mut().filter(|s| **s < threshold).for_each(|s| *s = f32::NEG_INFINITY);
    }
    let mut p = softmax(&scores);
    if options.top_p < 1.0 {
        let mut before = 0.0;
        for (rank, i) in sorted.iter().enumerate() {
            let share = f64::from(p[*i]);
            if rank > 0 && before >= options.top_p {
                scores[*i] = f32::NEG_INFINITY;
            }
            before += share;
        }
        p = softmax(&scores);
    }
    p
}

fn penalised(logits: &[f32], seen: &[u32], options: &GenerateOptions) -> Vec<f32> {
    let mut scores = logits.to_vec();
    let penalty = options.repetition_penalty as f32;
    if options.repetition_penalty != 1.0 {
        let mut seen: Vec<usize> =
            seen.iter().map(|id| *id as usize).filter(|id| *id < scores.len()).collect();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            scores[id] = if scores[id] < 0.0 { scores[id] * penalty } else { scores[id] / penalty };
        }
    }
    scores
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = scores.iter().map(|s| f64::from(s - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| (e / sum) as f32).collect()
}

fn choose(logits: &[f32], seen: &[u32], options: &GenerateOptions, rng: &mut Rng) -> u32 {
    if options.temperature <= 0.0 {
        let scores = penalised(logits, seen, options);
        let best =
            (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
        return best.unwrap_or(0) as u32;
    }
    let p = probabilities(logits, seen, options);
    let mut left = rng.uniform();
    let mut last = 0;
    for (id, share) in p.iter().enumerate().filter(|(_, share)| **share > 0.0) {
        last = id;
        left -= f64::from(*share);
        if left < 0.0 {
            break;
        }
    }
    last as u32
}

/// Continues prompts of any lengths together; a prompt's result does not depend on its batch-mates.
///
/// `on_token` is told each new token with its prompt's index as it is drawn, and may end it all. The
/// result holds the new tokens only, the stop token included.
///
/// # Errors
/// When a prompt is empty, or does not fit the model with the new tokens.
pub fn generate(
    decoder: &Decoder,
    prompts: &[&[u32]],
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Vec<u32>>, LmError> {
    let longest = prompts.iter().map(|p| p.len()).max().unwrap_or(0);
    if let Some(i) = prompts.iter().position(|p| p.is_empty()) {
        return Err(InputError::EmptyPrompt { prompt: i }.into());
    }
    let limit = decoder.config().max_positions;
    if longest + options.max_new_tokens > limit + 1 {
        let new = options.max_new_tokens;
        return Err(InputError::TooMany { prompt: longest, new, limit }.into());
    }
    let mut tokens: Vec<Vec<u32>> = prompts.iter().map(|p| p.to_vec()).collect();
    let mut done = vec![false; prompts.len()];
    let mut rngs: Vec<Rng> =
        (0..prompts.len()).map(|i| Rng::named(options.seed, &format!("prompt {i}"))).collect();
    let mut cache = decoder.new_cache(prompts.len(), longest + options.max_new_tokens);
    let vocab = decoder.config().vocab_size;
    'steps: for step in 0..options.max_new_tokens {
        if done.iter().all(|d| *d) {
            break;
        }
        let new: Vec<&[u32]> = tokens
            .iter()
            .zip(&done)
            .map(|(t, done)| match (done, step) {
                (true, _) => &[][..],
                (false, 0) => t,
                (false, _) => &t[t.len() - 1..],
            })
            .collect();
        let logits: Vec<f32> =
            decoder.extend(&mut cache, &new)?.into_data().iter::<f32>().collect();
        for (i, logits) in logits.chunks_exact(vocab).enumerate() {
            if done[i] {
                continue;
            }
            let id = choose(logits, &tokens[i], options, &mut rngs[i]);
            tokens[i].push(id);
            done[i] = options.stop == Some(id);
            if on_token(i, id).is_break() {
                break 'steps;
            }
        }
    }
    Ok(tokens.iter().zip(prompts).map(|(t, p)| t[p.len()..].to_vec()).collect())
}
