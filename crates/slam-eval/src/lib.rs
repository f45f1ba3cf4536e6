//! Suites, scores with intervals and the report (stages: benchmark, evaluate).

pub mod aggregate;
mod benchmark;
mod compare;
mod convention;
mod evaluate;
pub mod generative;
mod interval;
mod probe;
mod record;
pub mod report;
pub mod submission;
pub mod text;

pub use benchmark::{BenchmarkError, benchmark};
pub use evaluate::{EvaluateError, evaluate};
pub use probe::Probe;
pub use record::{Evaluation, RecordError, ScoredShard};
