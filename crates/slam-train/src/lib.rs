//! Packing, the training loop, schedules and DPO (stages: pretrain and DPO, as runs).

pub mod budget;
pub mod data;
pub mod dpo;
mod error;
pub mod metrics;
pub mod optimiser;
pub mod packing;
pub mod pretrain;
pub mod schedule;
mod state;
pub mod trainer;

pub use budget::Budget;
pub use error::TrainError;
pub use state::tokeniser_of_model;
pub use trainer::{RunContext, Summary};
