//! Corpora in, Parquet shards of utterances out (stage: ingest).
//!
//! [`ingest`] makes one corpus shard of one unit of work. Where the sound comes from is the [`source`]'s
//! business: files of a public layout, rows of Parquet files, or text that a speech program reads aloud.
//! [`fetch`] downloads what a data manifest names. [`grammar`] writes the texts of the demo.

pub mod fetch;
pub mod grammar;
mod in_order;
pub mod ingest;
mod render;
pub mod source;

pub use ingest::{IngestError, ingest};
