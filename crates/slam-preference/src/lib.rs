//! Preference pairs: a prompt, the continuation to prefer and another (stage: pair).
//!
//! [`pair`] makes one shard of pairs. Where they come from is the [`source`]'s business: segments that were
//! spoken and unitised, slamkit's JSON lines, the stories of a unit corpus, or a model's own continuations that
//! a [`scorer`] ranks. Whatever the source, a pair passes the same checks and the same filter (`shard`).

pub mod auto_bleu;
mod error;
pub mod scorer;
mod shard;
pub mod source;
mod stage;
pub mod words;

pub use error::PairError;
pub use source::{PairSource, Sampler, Sampling};
pub use stage::{OpenSampler, PairParams, pair};
