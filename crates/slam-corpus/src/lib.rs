//! Reads corpora and writes Parquet shards of utterances (stage: ingest).
//!
//! [`ingest`] makes one corpus shard from one unit of work. The [`source`] module provides the sound: files
//! of a public layout, rows of Parquet files, or text that a speech program reads aloud. [`fetch`]
//! downloads what a data manifest names. [`grammar`] writes the texts of the demo.

pub mod fetch;
pub mod grammar;
mod in_order;
pub mod ingest;
mod render;
pub mod source;

pub use ingest::{IngestError, ingest};
