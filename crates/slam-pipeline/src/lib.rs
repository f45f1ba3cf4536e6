//! From a pipeline to work: which shards there are to make, of what, and which steps follow them.
//!
//! [`Plan::new`] lists and hashes a pipeline's sources and turns them into [units of
//! work](slam_recipe::WorkUnit), stage by stage, each named by the content it depends on. [`run`] turns the
//! pipeline and its [prepared](slam_recipe::lock::Prepared) data into requests. Nothing here knows tensors or
//! audio, and nothing here runs anything.

pub mod data_manifest;
mod pairs;
pub mod plan;
pub mod run;
pub mod select;
pub mod source;
mod stage_plan;
pub mod suite;
mod tokeniser_files;

pub use data_manifest::DataManifest;
pub use plan::Plan;
pub use run::{RunStep, Steps};
pub use select::Selection;
pub use stage_plan::StagePlan;
pub use tokeniser_files::TokeniserFilesError;
