//! Schemas, Parquet shard I/O, receipts and content hashes.
//!
//! Everything that stages, pipelines and workers agree on lives here: what a row of each dataset is
//! ([`schema`]), how a shard is named ([`ShardName`]), written and read ([`shard`]), how it is published so
//! that a crash never leaves half a file ([`publish`]), what a unit of work is ([`work`]) and what proves
//! that it was done ([`receipt`]).
//!
//! Without the feature `parquet` only names, hashes, receipts and work units are built, which is all an
//! orchestrator needs.

pub mod event;
pub mod gold;
pub mod hash;
pub mod key;
pub mod name;
pub mod publish;
pub mod receipt;
pub mod rng;
pub mod stage;
pub mod work;

#[cfg(feature = "parquet")]
pub mod schema;
#[cfg(feature = "parquet")]
pub mod shard;

#[cfg(feature = "object-store")]
pub mod store;

#[cfg(feature = "parquet")]
pub use {arrow, parquet};

pub use event::Event;
pub use hash::Key;
pub use key::{ItemKey, SegmentKey};
pub use name::ShardName;
pub use receipt::Receipt;
pub use work::{Context, Outcome, WorkUnit};
