//! What follows the data: training, scores and the report, each one request to the worker.

mod checkpoint;
mod steps;

pub use checkpoint::{Checkpoint, TrainingStage};
pub use steps::{RunStep, Steps};

#[cfg(test)]
mod tests;
