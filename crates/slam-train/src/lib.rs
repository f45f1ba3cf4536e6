//! Packing, the training loop, schedules and DPO (stages: pretrain and DPO, as runs).

pub mod budget;
pub mod config;
mod context;
pub mod data;
pub mod device_check;
pub mod dpo;
mod error;
mod gradients;
mod metrics;
mod objective;
pub mod optimiser;
pub mod packing;
pub mod plan;
mod prefetch;
pub mod pretrain;
mod report;
pub mod schedule;
mod session;
mod spike;
mod state;
mod tensorboard;
mod trainer;

pub use budget::Budget;
pub use context::{Mode, Probe, RunContext};
pub use error::TrainError;
pub use plan::Plan;
pub use report::{Report, Summary, Update};
pub use state::tokeniser_of_model;
