//! The contract between the commands and the worker, as types.
//!
//! | what | where |
//! |---|---|
//! | the recipe: datasets, tokeniser, model, training, scores | [`pipeline`], [`source`], [`tokeniser`], [`training`], [`evaluation`] |
//! | what each stage is told for one shard | [`stage`], [`params`], [`work`] |
//! | what a worker is asked beside shards, and what it says | [`request`], [`event`], [`wire`] |
//! | what an utterance is for: a benchmark's item, a segment of a pair | [`item`] |
//! | how shards are named by content, published and proven | [`hash`], [`name`], [`publish`], [`receipt`] |
//! | what a data root holds, for machines without the recordings | [`lock`] |
//!
//! Both sides of the wire use these types: a renamed field is a compile error in the commands and in the worker.
//! Nothing here knows Arrow, tensors or audio, so that the commands compile in seconds.

mod causes;
pub mod device;
pub mod evaluation;
pub mod event;
pub mod gold;
pub mod hash;
pub mod indices;
pub mod item;
pub mod lock;
pub mod name;
pub mod params;
pub mod pipeline;
pub mod publish;
pub mod receipt;
pub mod request;
pub mod run_file;
pub mod source;
pub mod stage;
pub mod tokeniser;
pub mod training;
pub mod wire;
pub mod work;

pub use causes::with_causes;
pub use event::Event;
pub use hash::Key;
pub use item::{BenchmarkItem, Item, PairSegment};
pub use lock::Lock;
pub use name::ShardName;
pub use params::Work;
pub use pipeline::Pipeline;
pub use receipt::Receipt;
pub use request::Request;
pub use run_file::{PipelineChoice, RunFile};
pub use stage::Stage;
pub use work::WorkUnit;
