//! What a run is made of.

use serde_json::Value;
use slam_recipe::Key;

use crate::budget::Budget;
use crate::config::OptimiserConfig;

/// What a run is made of.
pub(crate) struct Job<'a> {
    /// How the model is optimised.
    pub(crate) optimiser: &'a OptimiserConfig,
    /// When it ends.
    pub(crate) budget: Budget,
    /// Configuration and data, as a key.
    pub(crate) key: &'a Key,
    /// The stage's parameters, kept in every checkpoint.
    pub(crate) params: &'a Value,
}
