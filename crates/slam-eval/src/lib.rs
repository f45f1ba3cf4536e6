//! Suites, scores with intervals and the report (stages: benchmark, evaluate).

pub mod aggregate;
mod benchmark;
mod evaluate;

pub use benchmark::{BenchmarkError, benchmark};
pub use evaluate::{EvaluateError, evaluate};
