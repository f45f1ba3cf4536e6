//! Suites, scores with intervals and the report (stages: benchmark, evaluate).

pub mod aggregate;
mod benchmark;
mod compare;
mod convention;
mod evaluate;
mod interval;
mod record;
pub mod report;

pub use benchmark::{BenchmarkError, benchmark};
pub use evaluate::{EvaluateError, evaluate};
pub use record::{Evaluation, RecordError, ScoredShard};
