//! The operations composed of Burn's primitives: the oracle of the fused kernels' tests, and what
//! runs on devices and element types that have no kernel of their own.

use super::arguments::{Activation, AdamWStep};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Int, Tensor, TensorData, activation, module};

/// Logits that [`token_nll`] makes at a time, in elements: 16 MiB, as the CPU's kernel.
const LOGITS: usize = 4 << 20;

/// See [`super::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// See [`super::rms_norm`].
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f64) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let rstd = (x.clone() * x.clone()).mean_dim(D - 1).add_scalar(eps).sqrt().recip();
    (x * rstd).cast(dtype) * weight.unsqueeze()
}

/// See [`super::layer_norm`].
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(D - 1);
    let rstd = (centred.clone() * centred.clone()).mean_dim(D - 1).add_scalar(eps).sqrt().recip();
    (centred * rstd).cast(dtype) * weight.unsqueeze() + bias.unsqueeze()
}

/// See [`super::swiglu`].
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    activation::silu(gate) * up
}

/// See [`super::gelu`].
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// See [`super::rotary`].
pub fn rotary(
    x: Tensor<4>,
    cos: Tensor<2>,
    sin: Tensor<2>,
    positions: Tensor<2, Int>,
) -> Tensor<4> {
    let [batch, time, _, dim] = x.dims();
    let half = cos.dims()[1];
    let at = positions.reshape([batch * time]);
    let dtype = x.dtype();
    let rows =
        |table: Tensor<2>| table.select(0, at.clone()).reshape([batch, time, 1, half]).cast(dtype);
    let (cos, sin) = (rows(cos), rows(sin));
    let first = x.clone().narrow(3, 0, half);
    let second = x.clone().narrow(3, half, half);
    let mut parts = vec![
        first.clone() * cos.clone() - second.clone() * sin.clone(),
        second * cos + first * sin,
    ];
    if dim > 2 * half {
        parts.push(x.narrow(3, 2 * half, dim - 2 * half));
    }
    Tensor::cat(parts, 3)
}

/// Attention with a boolean mask `[batch, queries, keys]`, true where a key is hidden.
fn masked_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    hidden: Tensor<3, burn::tensor::Bool>,
    scale: f64,
) -> Tensor<4> {
    let [batch, queries, heads, dim] = q.dims();
    let [_, keys, kv_heads, _] = k.dims();
    let groups = heads / kv_heads;
    let dtype = q.dtype();
    // Query heads that share a key head become rows of one product.
    let q = q.swap_dims(1, 2).reshape([batch, kv_heads, groups * queries, dim]);
    let k = k.swap_dims(1, 2).swap_dims(2, 3);
    let v = v.swap_dims(1, 2);
    let scores = (q * scale).matmul(k).cast(DType::F32);
    let hidden = hidden
        .reshape([batch, 1, 1, queries, keys])
        .expand([batch, kv_heads, groups, queries, keys])
        .reshape([batch, kv_heads, groups * queries, keys]);
    let weights = activation::softmax(scores.mask_fill(hidden.clone(), -1e30), 3)
        .mask_fill(hidden, 0.0)
        .cast(dtype);
    weights.matmul(v).reshape([batch, heads, queries, dim]).swap_dims(1, 2)
}

/// See [`super::causal_attention`].
pub fn causal_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    starts: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    let [batch, time, _, _] = q.dims();
    let index = Tensor::<1, Int>::arange(0..time as i64, &starts.device()).cast(starts.dtype());
    let full = [batch, time, time];
    let key = index.clone().reshape([1, 1, time]).expand(full);
    let late = key.clone().greater(index.reshape([1, time, 1]).expand(full));
    let early = key.lower(starts.reshape([batch, time, 1]).expand(full));
    masked_attention(q, k, v, late.bool_or(early), scale)
}

/// See [`super::ranged_attention`].
pub fn ranged_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    starts: Tensor<2, Int>,
    ends: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    let [batch, time, _, _] = q.dims();
    let full = [batch, time, time];
    let key = Tensor::<1, Int>::arange(0..time as i64, &starts.device())
        .cast(starts.dtype())
        .reshape([1, 1, time])
        .expand(full);
    let late = key.clone().greater_equal(ends.reshape([batch, time, 1]).expand(full));
    let early = key.lower(starts.reshape([batch, time, 1]).expand(full));
    masked_attention(q, k, v, late.bool_or(early), scale)
}

/// See [`super::cached_attention`].
pub fn cached_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visible: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    let [batch, new, _, _] = q.dims();
    let capacity = k.dims()[1];
    let full = [batch, new, capacity];
    let slot = Tensor::<1, Int>::arange(0..capacity as i64, &visible.device())
        .cast(visible.dtype())
        .reshape([1, 1, capacity])
        .expand(full);
    let hidden = slot.greater_equal(visible.reshape([batch, new, 1]).expand(full));
    masked_attention(q, k, v, hidden, scale)
}

/// See [`super::write_cache`].
pub fn write_cache(cache: Tensor<4>, new: Tensor<4>, slots: Tensor<2, Int>) -> Tensor<4> {
    let [batch, capacity, heads, dim] = cache.dims();
    let added = slots.dims()[1];
    // A one-hot product places each token; skipped tokens match no slot.
    let full = [batch, capacity, added];
    let slot = Tensor::<1, Int>::arange(0..capacity as i64, &slots.device())
        .cast(slots.dtype())
        .reshape([1, capacity, 1])
        .expand(full);
    let hit = slot.equal(slots.reshape([batch, 1, added]).expand(full)).float().cast(cache.dtype());
    let width = heads * dim;
    let placed = hit.clone().matmul(new.reshape([batch, added, width]));
    let kept = cache.reshape([batch, capacity, width]) * (hit.sum_dim(2) * -1.0 + 1.0);
    (kept + placed).reshape([batch, capacity, heads, dim])
}

/// See [`super::token_nll`]. Backward keeps one copy of all logits (the exponentials of the softmax).
pub fn token_nll(hidden: Tensor<2>, lm_head: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let rows = hidden.dims()[0];
    let vocab = lm_head.dims()[0];
    let weight = lm_head.transpose();
    let piece = (LOGITS / vocab.max(1)).clamp(32, 2048);
    let mut parts: Vec<Tensor<1>> = Vec::new();
    let mut start = 0;
    while start < rows {
        let len = piece.min(rows - start);
        let mut x = hidden.clone().narrow(0, start, len);
        if let Some(before) = parts.last() {
            // Backward takes operations of one depth together: pieces side by side would hold the gradients of all
            // logits at once. A zero that comes from the piece before puts one below the other.
            let always = Tensor::<1, Int>::zeros([1], &x.device()).equal_elem(0);
            let zero = before.clone().narrow(0, 0, 1).mask_fill(always, 0.0).cast(x.dtype());
            x = x + zero.unsqueeze();
        }
        let logits = x.matmul(weight.clone()).cast(DType::F32);
        let target = targets.clone().narrow(0, start, len);
        let ignored = target.clone().lower_elem(0);
        let wrong = target.clone().greater_equal_elem(vocab as i64);
        let target = target.clamp(0, vocab as i64 - 1).reshape([len, 1]);
        let log_p = activation::log_softmax(logits, 1).gather(1, target).reshape([len]);
        parts.push((-log_p).mask_fill(ignored, 0.0).mask_fill(wrong, f32::NAN));
        start += len;
    }
    if parts.is_empty() {
        return Tensor::zeros([0], &hidden.device());
    }
    Tensor::cat(parts, 0)
}

/// See [`super::adamw_step`].
pub fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
    step: &AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let n = step.step as f64;
    let correction1 = 1.0 - step.beta1.powf(n);
    let correction2 = (1.0 - step.beta2.powf(n)).sqrt();
    let grad = grad.cast(m.dtype()) * step.grad_scale;
    let param =
        if step.weight_decay == 0.0 { param } else { param * (1.0 - step.lr * step.weight_decay) };
    let m = m.clone() + (grad.clone() - m) * (1.0 - step.beta1);
    let v = v * step.beta2 + grad.clone() * grad * (1.0 - step.beta2);
    let denominator = v.clone().sqrt() / correction2 + step.eps;
    let update = m.clone() / denominator * (step.lr / correction1);
    (param.clone() - update.cast(param.dtype()), m, v)
}

/// See [`super::sum_of_squares`].
pub fn sum_of_squares<const D: usize>(x: &Tensor<D>) -> f64 {
    let x = x.clone().cast(DType::F32);
    let data: TensorData = (x.clone() * x).sum().into_data();
    data.iter::<f64>().next().unwrap_or(0.0)
}

/// See [`super::FixedLinear::conv1d`]; the weight is `[outputs, kernel * channels]`.
pub fn conv1d(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    stride: usize,
    activation: Activation,
) -> Tensor<2> {
    let ([_, channels], [outputs, width]) = (x.dims(), weight.dims());
    let kernel = width / channels;
    let weight = weight.reshape([outputs, kernel, channels]).swap_dims(1, 2);
    let options = ConvOptions::new([stride], [0], [1], 1);
    let y: Tensor<3> = module::conv1d(x.transpose().unsqueeze(), weight, bias, options);
    let y = y.squeeze_dim::<2>(0).transpose();
    match activation {
        Activation::None => y,
        Activation::Gelu => gelu(y),
    }
}
