//! Fused, differentiable operations on [`Tensor`]: what the models call.
//!
//! On the CPU device in f32 each is one or a few passes, forward and backward, with the same bytes
//! for any number of threads. Elsewhere (other devices, other widths) they are [`reference`], the
//! plain-tensor twins, which are the tests' oracle too.

pub mod reference;

use burn::tensor::{Int, Tensor};

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

/// `x wᵀ + bias`.
///
/// # Shapes
/// - `x`: `[rows, in]`; `weight`: `[out, in]` (torch's layout); `bias`: `[out]`
/// - result: `[rows, out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    reference::linear(x, weight, bias)
}

/// Root-mean-square norm over the last axis (Zhang & Sennrich 2019): `x / rms(x) * weight`.
///
/// # Shapes
/// - `x`: `[.., hidden]`; `weight`: `[hidden]`; result as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f64) -> Tensor<D> {
    reference::rms_norm(x, weight, eps)
}

/// Layer norm over the last axis (Ba et al. 2016), biased variance.
///
/// # Shapes
/// - `x`: `[.., hidden]`; `weight`, `bias`: `[hidden]`; result as `x`
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    reference::layer_norm(x, weight, bias, eps)
}

/// `silu(gate) * up` (Shazeer 2020).
///
/// # Shapes
/// - `gate`, `up` and the result have one shape.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    reference::swiglu(gate, up)
}

/// `x Φ(x)`, the exact form with erf (Hendrycks & Gimpel 2016), not the tanh approximation.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    reference::gelu(x)
}

/// Rotary position embedding (Su et al. 2021) in the rotate-half convention of Hugging Face: the
/// pair of dimension `i` is `i + rot/2`. Dimensions from `rot` on pass through unchanged.
///
/// # Shapes
/// - `x`: `[batch, time, heads, dim]`, `rot <= dim`
/// - `cos`, `sin`: `[max_positions, rot/2]`, no gradient
/// - `positions`: `[batch, time]`, each below `max_positions`
pub fn rotary(
    x: Tensor<4>,
    cos: Tensor<2>,
    sin: Tensor<2>,
    positions: Tensor<2, Int>,
) -> Tensor<4> {
    reference::rotary(x, cos, sin, positions)
}

/// Causal attention within packed segments, grouped-query.
///
/// Query `i` of a row sees the keys `starts[i]..=i` of that row. Query head `n` uses key head
/// `n / (heads / kv_heads)`.
///
/// # Shapes
/// - `q`: `[batch, time, heads, dim]`; `k`, `v`: `[batch, time, kv_heads, dim]`
/// - `starts`: `[batch, time]`: index of the first key that the query sees, at most the query's own
/// - result: as `q`
pub fn causal_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    starts: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    reference::causal_attention(q, k, v, starts, scale)
}

/// Attention of new queries over a key/value cache, for generation; not differentiable on the CPU.
///
/// Each batch row fills its own cache slots from 0, so prompts of different length need no left
/// padding: a query sees the slots `0..visible` of its row.
///
/// # Shapes
/// - `q`: `[batch, new, heads, dim]`; `k`, `v`: `[batch, capacity, kv_heads, dim]`
/// - `visible`: `[batch, new]`: how many slots the query sees; 0 gives a zero result
/// - result: as `q`
pub fn cached_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visible: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    reference::cached_attention(q, k, v, visible, scale)
}

/// Writes the keys or values of new tokens into their cache slots, in place where the cache is
/// owned alone.
///
/// # Shapes
/// - `cache`: `[batch, capacity, kv_heads, dim]`; `new`: `[batch, new, kv_heads, dim]`
/// - `slots`: `[batch, new]`: slot of each token; a negative slot is skipped (padding)
pub fn write_cache(cache: Tensor<4>, new: Tensor<4>, slots: Tensor<2, Int>) -> Tensor<4> {
    reference::write_cache(cache, new, slots)
}

/// Negative log-likelihood of each target token, in nats, without holding the logits of the whole
/// batch.
///
/// A negative target marks a row to ignore: NLL 0, no gradient. A target of `vocab` or above gives
/// NaN, which the trainer's check for a finite loss stops on.
///
/// # Shapes
/// - `hidden`: `[rows, hidden]`; `lm_head`: `[vocab, hidden]`; `targets`: `[rows]`
/// - result: `[rows]`
pub fn token_nll(hidden: Tensor<2>, lm_head: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    reference::token_nll(hidden, lm_head, targets)
}

/// One AdamW step on one parameter: returns (parameter, first moment, second moment).
///
/// The arithmetic is that of `torch.optim.AdamW`. Where the tensors are owned alone on the CPU it
/// is one pass in place.
pub fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
    step: &AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    reference::adamw_step(param, grad, m, v, step)
}

/// Sum of the squares of all elements, accumulated in f64 on the CPU in a fixed order.
pub fn sum_of_squares<const D: usize>(x: &Tensor<D>) -> f64 {
    reference::sum_of_squares(x)
}
