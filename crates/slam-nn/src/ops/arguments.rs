//! What operations are told beside tensors.

/// What a layer's result passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// [`gelu`](super::gelu), in the same pass.
    Gelu,
}

/// Constants of one AdamW step (Loshchilov & Hutter 2019, in the arithmetic of
/// `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the gradient's running mean.
    pub beta1: f64,
    /// Decay of the squared gradient's running mean.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay; 0 for none.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: u64,
    /// Factor on the gradient before use: clipping, and 1 / accumulation.
    pub grad_scale: f64,
}
