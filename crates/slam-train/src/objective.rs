//! What the training loop optimises: pre-training and DPO each say how a step's parts are made and scored.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use slam_dataset::schema::TokeniserInfo;
use slam_lm::Decoder;

use crate::error::TrainError;

/// Makes the parts of any step, in order: a function of the step's number alone. It runs on a thread of its
/// own, ahead of the device.
pub(crate) type Steps<'a, M> = Box<dyn FnMut(u64) -> Vec<M> + Send + 'a>;

/// What is optimised.
pub(crate) trait Objective {
    /// A part of a step that fits into memory at once.
    type Micro: Send + Sync + 'static;

    /// The tokeniser of the data.
    fn tokeniser(&self) -> &TokeniserInfo;

    /// Tokens of one pass over the data.
    fn epoch_tokens(&self) -> u64;

    /// A maker of steps; several work at once, each on its share of the steps.
    fn steps(&self) -> Steps<'_, Self::Micro>;

    /// Tokens of a part.
    fn tokens(&self, micro: &Self::Micro) -> u64;

    /// The names of a part's samples, for the report of a broken loss.
    fn ids(&self, micro: &Self::Micro) -> Vec<String>;

    /// A part's loss as a sum, its weight (what the sum is divided by over the whole step), and figures
    /// for the metrics as sums over the same weight. `device` is the model's, within autodiff.
    fn loss(&self, model: &Decoder, micro: &Self::Micro, device: &Device) -> Loss;

    /// The weight of a part, known before its loss.
    fn weight(&self, micro: &Self::Micro) -> f64;

    /// Figures of held-out data, with `val_loss` among them; none where there is no held-out data.
    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError>;
}

/// A part's loss.
pub(crate) struct Loss {
    /// The sum of its samples' losses, `[1]`.
    pub(crate) sum: Tensor<1>,
    /// Sums of other figures, computed once the backward pass is under way.
    pub(crate) figures: Box<dyn FnOnce() -> BTreeMap<String, f64>>,
}
