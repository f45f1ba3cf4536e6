//! Suites, scores with intervals and the report (stages: benchmark, evaluate).

mod benchmark;

pub use benchmark::{BenchmarkError, benchmark};
