//! Packing, the training loop, schedules and DPO (stages: pretrain and DPO, as runs).

pub mod budget;
pub mod config;
mod config_error;
mod context;
pub mod data;
pub mod device_check;
pub mod dpo;
mod ending;
mod error;
mod gradients;
mod job;
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
pub use config_error::{ConfigError, Wanted};
pub use context::{Mode, Probe, ProbeError, RunContext};
pub use error::{ReadError, TrainError};
pub use plan::Plan;
pub use report::{Ended, Report, Summary, Update};
pub use state::tokeniser_of_model;
