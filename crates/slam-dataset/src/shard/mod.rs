//! Reading and writing shards: Parquet files of one row type.
//!
//! The bytes of a shard are a function of its rows and metadata alone: no clock, no map order.

pub mod batches;
mod error;
mod json;
mod reader;
mod row;
mod writer;

pub use error::ShardError;
pub use json::{Excerpt, excerpt};
pub use reader::{ShardReader, read};
pub use row::Row;
pub use writer::{ShardWriter, write};
