//! Suites, scores with intervals and the report (stages: benchmark, evaluate).

pub mod aggregate;
mod benchmark;
mod evaluate;
mod record;
pub mod report;

pub use benchmark::{BenchmarkError, benchmark};
pub use evaluate::{EvaluateError, evaluate};
pub use record::{Evaluation, RecordError};
