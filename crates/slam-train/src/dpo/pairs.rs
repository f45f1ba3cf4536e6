//! Pair shards as token sequences, cut to length as TRL cuts them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slam_dataset::schema::{PreferencePair, TokeniserInfo};
use slam_dataset::shard::ShardReader;
use slam_lm::BOS;
use slam_lm::tokenizer::unit_tokens;
pub use slam_recipe::training::Truncation;

use crate::config_error::ConfigError;
use crate::data::{same_tokeniser, tokeniser_of};
use crate::error::TrainError;

/// How long sequences may be, in tokens with every `<S>`: TRL's `max_prompt_length`,
/// `max_completion_length`, `max_length` and `truncation_mode`, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Caps {
    pub(crate) max_prompt_length: usize,
    pub(crate) max_completion_length: usize,
    pub(crate) max_length: usize,
    pub(crate) truncation: Truncation,
}

/// A prompt with one of its continuations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Side {
    /// `<S>` + prompt + continuation + `<S>`, cut.
    pub(crate) tokens: Vec<u32>,
    /// The first token whose log-probability counts: the continuation's first, at least 1.
    pub(crate) first: usize,
}

/// A pair as tokens: chosen and rejected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) sides: [Side; 2],
}

impl Pair {
    /// The prompt's length where both sides begin with the same one, so that it need be computed only once.
    pub(crate) fn shared_prompt(&self) -> Option<usize> {
        let [a, b] = &self.sides;
        (a.first == b.first && a.tokens[..a.first] == b.tokens[..b.first]).then_some(a.first)
    }
}

impl Caps {
    /// A pair's tokens; `None` where nothing is left to prefer.
    fn pair(&self, row: PreferencePair) -> Option<Pair> {
        let sides = [self.side(&row.prompt, &row.chosen)?, self.side(&row.prompt, &row.rejected)?];
        Some(Pair { id: row.id, sides })
    }

    fn side(&self, prompt: &[u16], completion: &[u16]) -> Option<Side> {
        let cap = |n: usize| if n == 0 { usize::MAX } else { n };
        let drop = self.truncation == Truncation::Drop;
        let mut tokens = vec![BOS];
        tokens.extend(unit_tokens(prompt));
        let excess = tokens.len().saturating_sub(cap(self.max_prompt_length));
        let mut completion: Vec<u32> = unit_tokens(completion);
        completion.push(BOS);
        let longest = cap(self.max_completion_length);
        if drop && (excess > 0 || completion.len() > longest) {
            return None;
        }
        tokens.drain(..excess);
        completion.truncate(longest);
        let mut first = tokens.len();
        tokens.extend(completion);
        let excess = tokens.len().saturating_sub(cap(self.max_length));
        if excess > 0 {
            match self.truncation {
                Truncation::Drop => return None,
                Truncation::KeepStart => tokens.truncate(tokens.len() - excess),
                Truncation::KeepEnd => {
                    tokens.drain(..excess);
                    first = first.saturating_sub(excess);
                }
            }
        }
        // The first token of all is predicted by nothing.
        let first = first.max(1);
        (first < tokens.len()).then_some(Side { tokens, first })
    }
}

/// The pairs of some shards.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) all: Vec<Pair>,
    /// How many of them come from each shard, in order.
    pub(crate) of_shard: Vec<usize>,
    pub(crate) tokeniser: TokeniserInfo,
}

/// Reads pair shards, in the order given.
///
/// # Errors
/// If a shard cannot be read or comes from another tokeniser than the first, has a unit beyond its
/// tokeniser's k, or nothing is left.
pub(crate) fn read(shards: &[PathBuf], caps: &Caps) -> Result<Pairs, TrainError> {
    let mut found: Option<(TokeniserInfo, &Path)> = None;
    let (mut pairs, mut of_shard) = (Vec::new(), Vec::new());
    let mut left_out = 0;
    for path in shards {
        let reader = ShardReader::<PreferencePair>::open(path)?;
        let info = tokeniser_of(path, reader.metadata())?;
        let k = info.k;
        match &found {
            Some((first, first_path)) => same_tokeniser(path, &info, first_path, first)?,
            None => found = Some((info, path)),
        }
        let before = pairs.len();
        for row in reader {
            let row = row?;
            let mut units = row.prompt.iter().chain(&row.chosen).chain(&row.rejected);
            if let Some(unit) = units.find(|&&u| u32::from(u) >= k) {
                let (path, unit) = (path.clone(), *unit);
                return Err(TrainError::Unit { path, row: row.id, unit, k });
            }
            match caps.pair(row) {
                Some(pair) => pairs.push(pair),
                None => left_out += 1,
            }
        }
        of_shard.push(pairs.len() - before);
    }
    if left_out > 0 {
        tracing::warn!(
            "{left_out} pairs do not fit the caps of length and were left out: {caps:?}"
        );
    }
    match found {
        Some((tokeniser, _)) if !pairs.is_empty() => Ok(Pairs { all: pairs, of_shard, tokeniser }),
        _ => Err(ConfigError::NoPairs.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn caps(prompt: usize, completion: usize, all: usize, truncation: Truncation) -> Caps {
        Caps {
            max_prompt_length: prompt,
            max_completion_length: completion,
            max_length: all,
            truncation,
        }
    }

    fn pair(caps: Caps) -> Option<Pair> {
        caps.pair(PreferencePair {
            prompt: vec![10, 11, 12],
            chosen: vec![20, 21],
            rejected: vec![30],
            ..Default::default()
        })
    }

    #[test]
    fn sequences_begin_and_end_with_s() {
        let p = pair(caps(512, 0, 1024, Truncation::KeepEnd)).unwrap();
        assert_eq!(p.sides[0], Side { tokens: vec![1, 12, 13, 14, 22, 23, 1], first: 4 });
        assert_eq!(p.sides[1], Side { tokens: vec![1, 12, 13, 14, 32, 1], first: 4 });
        assert_eq!(p.shared_prompt(), Some(4));
    }

    #[test]
    fn caps_cut_as_trl_does() {
        let p = pair(caps(2, 2, 1024, Truncation::KeepEnd)).unwrap();
        assert_eq!(p.sides[0], Side { tokens: vec![13, 14, 22, 23], first: 2 });
        // The whole sequence loses its beginning: the sides then begin differently.
        let p = pair(caps(0, 0, 6, Truncation::KeepEnd)).unwrap();
        assert_eq!(p.sides[0], Side { tokens: vec![12, 13, 14, 22, 23, 1], first: 3 });
        assert_eq!(p.sides[1], Side { tokens: vec![1, 12, 13, 14, 32, 1], first: 4 });
        assert_eq!(p.shared_prompt(), None);
        let p = pair(caps(0, 0, 2, Truncation::KeepEnd)).unwrap();
        assert_eq!(p.sides[0], Side { tokens: vec![23, 1], first: 1 });
        let p = pair(caps(0, 0, 5, Truncation::KeepStart)).unwrap();
        assert_eq!(p.sides[0], Side { tokens: vec![1, 12, 13, 14, 22], first: 4 });
        // Nothing of the continuation is left.
        assert_eq!(pair(caps(0, 0, 4, Truncation::KeepStart)), None);
        assert_eq!(pair(caps(0, 0, 6, Truncation::Drop)), None);
        assert!(pair(caps(0, 0, 7, Truncation::Drop)).is_some());
    }
}
