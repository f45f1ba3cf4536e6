//! Preference pairs: a prompt, a chosen continuation and a rejected one (stage: pair).
//!
//! [`pair`] makes one shard of pairs. The [`source`] module reads them: from segments that were spoken and
//! unitised, slamkit's JSON lines, the stories of a unit corpus, or a model's own continuations that a
//! [`scorer`] ranks. Every pair passes the same checks and the same filter (`shard`), whatever its source.

pub mod auto_bleu;
mod error;
mod sampler;
pub mod scorer;
mod shard;
pub mod source;
mod stage;
pub mod words;

pub use error::PairError;
pub use sampler::{OpenSampler, Sampler, SamplerError};
pub use source::CutError;
pub use stage::pair;
