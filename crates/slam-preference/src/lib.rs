//! Preference pairs: a prompt, the continuation to prefer and another (stage: pair).

pub mod auto_bleu;
mod stage;
pub mod words;

pub use stage::{PairError, PairParams, pair};
