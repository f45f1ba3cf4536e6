//! Schemas, Parquet shard I/O and object stores.
//!
//! What a row of each dataset is ([`schema`]), how a shard is written and read ([`shard`]), how a unit of work
//! is carried out so that a crash never leaves half a file ([`work`]), and how shards travel to and from an
//! object store ([`store`]). What a unit of work *is* lives in `slam_recipe`.

pub mod rng;
pub mod schema;
pub mod shard;
pub mod work;

#[cfg(feature = "object-store")]
pub mod store;

pub use work::{Context, Outcome};
pub use {arrow, parquet};
