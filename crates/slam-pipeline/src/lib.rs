//! Pipeline files, the stage graph, plans and executors.
//!
//! A [`Pipeline`] (TOML) names datasets, a tokeniser, a model and how to train it. [`Plan`] turns it into
//! [units of work](slam_dataset::WorkUnit) stage by stage, each named by the content it depends on, and
//! tells which of them are already done. An [`executor`] runs the rest: it only ever runs indices of a
//! work list, so that local processes and a cluster do the same.
//!
//! Nothing here knows tensors or audio: parameters of stages are values that the stages themselves read.

pub mod data_manifest;
pub mod executor;
pub mod file;
pub mod indices;
pub mod pairs;
pub mod plan;
pub mod predict;
mod preset;
pub mod run;
pub mod select;
pub mod source;
pub mod suite;

pub use data_manifest::DataManifest;
pub use file::Pipeline;
pub use plan::{Plan, StagePlan};
pub use run::{RunFile, RunPlan};
pub use select::Selection;
