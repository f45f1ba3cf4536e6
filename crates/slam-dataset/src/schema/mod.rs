//! The rows of every dataset and their columns (Arrow types, Parquet on disk).

mod benchmark;
mod columns;
mod corpus;
mod error;
mod item;
mod pair_item;
mod pairs;
mod quarantine;
mod reference;
mod scores;
mod units;

pub use benchmark::BenchmarkPair;
pub use corpus::{Utterance, Word};
pub use error::ColumnError;
pub use pairs::PreferencePair;
pub use reference::ReferenceLogProbs;
pub use scores::Score;
pub use units::{NoTokeniser, TokeniserInfo, UnitSequence};
