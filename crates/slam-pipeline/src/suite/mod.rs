//! Benchmark suites in the folders that they are published in: which recording is which side of which item.
//!
//! A suite is read as a whole, at planning: what a name means may depend on another file (`gold.csv`), and
//! whether something is missing on all of them. The ingest stage then reads named recordings.

mod list;
mod listing;
mod salmon;
mod shards;
mod slamkit;
mod story_cloze;
mod zerospeech;

pub use list::list;
pub use listing::Listing;
pub use shards::shards;

#[cfg(test)]
mod tests;
