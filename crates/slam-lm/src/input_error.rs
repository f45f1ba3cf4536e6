//! Tokens that do not fit a model.

/// A sequence that a model cannot read or continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It is longer than the model's positions.
    #[error("a sequence of {tokens} tokens is longer than the model's {limit} positions; cut it")]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// The model's positions.
        limit: usize,
    },
    /// It has a token that the model does not know.
    #[error(
        "token {token} is outside the model's vocabulary of {vocabulary}; was it made by another tokeniser?"
    )]
    Token {
        /// The token.
        token: u32,
        /// How many the model knows.
        vocabulary: usize,
    },
    /// There are more or fewer rows than a cache has.
    #[error("{rows} rows for a cache of {cached}; give each row of the cache its tokens, or none")]
    Rows {
        /// Rows given.
        rows: usize,
        /// Rows of the cache.
        cached: usize,
    },
    /// A row of a cache would grow beyond it or the model.
    #[error("row {row} would have {tokens} tokens, the limit is {limit}; ask for fewer")]
    CacheFull {
        /// The row, from 0.
        row: usize,
        /// Tokens that it would have.
        tokens: usize,
        /// Tokens that it may have.
        limit: usize,
    },
    /// There is nothing to continue.
    #[error("prompt {prompt} is empty; begin it with <S> (token 1)")]
    EmptyPrompt {
        /// The prompt, from 0.
        prompt: usize,
    },
    /// A prompt and what is to follow it are longer than the model's positions.
    #[error(
        "a prompt of {prompt} tokens and {new} new ones exceed the model's {limit} positions; cut it, or \
         ask for fewer"
    )]
    TooMany {
        /// Tokens of the longest prompt.
        prompt: usize,
        /// Tokens asked for.
        new: usize,
        /// The model's positions.
        limit: usize,
    },
    /// One of several sequences does not fit.
    #[error("sequence {sequence}: {source}")]
    Sequence {
        /// The sequence, from 0.
        sequence: usize,
        /// What is wrong with it.
        source: Box<InputError>,
    },
}
