//! Fused, differentiable operations on [`Tensor`]: what the models call.
//!
//! On the CPU device in f32 each is one or a few passes, forward and backward, with the same bytes
//! for any number of threads. Elsewhere (other devices, other widths) they are [`mod@reference`], the
//! plain-tensor twins, which are the tests' oracle too.

mod arguments;
mod flex;
mod fused;
mod kernels;
mod packed;
pub mod reference;

pub use arguments::{Activation, AdamWStep};
pub use packed::FixedLinear;

use burn::tensor::{Int, Tensor};
use fused::{apply, fits};
use std::sync::Arc;

/// The integers of a tensor on the host.
fn integers<const D: usize>(x: Tensor<D, Int>) -> Vec<i64> {
    x.into_data().iter::<i64>().collect()
}

/// `x wᵀ + bias`.
///
/// # Shapes
/// - `x`: `[rows, in]`; `weight`: `[out, in]` (torch's layout); `bias`: `[out]`
/// - result: `[rows, out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    if !(fits(&x) && fits(&weight) && bias.as_ref().is_none_or(fits)) {
        return reference::linear(x, weight, bias);
    }
    assert_eq!(x.dims()[1], weight.dims()[1], "linear: inner sizes differ");
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => apply(flex::Linear, [x, weight, bias.into_dispatch()]),
        None => apply(flex::Linear, [x, weight]),
    })
}

/// Root-mean-square norm over the last axis (Zhang & Sennrich 2019): `x / rms(x) * weight`.
///
/// # Shapes
/// - `x`: `[.., hidden]`; `weight`: `[hidden]`; result as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f64) -> Tensor<D> {
    if !(fits(&x) && fits(&weight)) || weight.dims()[0] == 0 {
        return reference::rms_norm(x, weight, eps);
    }
    assert_eq!(x.dims()[D - 1], weight.dims()[0], "rms_norm: sizes differ");
    Tensor::from_dispatch(apply(
        flex::RmsNorm(eps as f32),
        [x.into_dispatch(), weight.into_dispatch()],
    ))
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
    if !(fits(&x) && fits(&weight) && fits(&bias)) || weight.dims()[0] == 0 {
        return reference::layer_norm(x, weight, bias, eps);
    }
    assert_eq!(x.dims()[D - 1], weight.dims()[0], "layer_norm: sizes differ");
    Tensor::from_dispatch(apply(
        flex::LayerNorm(eps as f32),
        [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()],
    ))
}

/// `silu(gate) * up` (Shazeer 2020).
///
/// # Shapes
/// - `gate`, `up` and the result have one shape.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if !(fits(&gate) && fits(&up)) {
        return reference::swiglu(gate, up);
    }
    assert_eq!(gate.dims(), up.dims(), "swiglu: shapes differ");
    Tensor::from_dispatch(apply(flex::SwiGlu, [gate.into_dispatch(), up.into_dispatch()]))
}

/// `x Φ(x)`, the exact form with erf (Hendrycks & Gimpel 2016), not the tanh approximation.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !fits(&x) {
        return reference::gelu(x);
    }
    Tensor::from_dispatch(apply(flex::Gelu, [x.into_dispatch()]))
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
    let [batch, time, _, dim] = x.dims();
    let half = cos.dims()[1];
    if !(fits(&x) && fits(&cos) && fits(&sin)) || half == 0 {
        return reference::rotary(x, cos, sin, positions);
    }
    assert!(2 * half <= dim && cos.dims() == sin.dims(), "rotary: tables wider than the head");
    assert_eq!(positions.dims(), [batch, time], "rotary: one position a token");
    let op = flex::Rotary(Arc::new(integers(positions)));
    Tensor::from_dispatch(apply(op, [x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()]))
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
    if !(fits(&q) && fits(&k) && fits(&v)) {
        return reference::causal_attention(q, k, v, starts, scale);
    }
    let [batch, time, _, _] = q.dims();
    assert_eq!(k.dims()[..2], [batch, time], "attention: as many keys as queries");
    assert_eq!(starts.dims(), [batch, time], "attention: one start a query");
    let ranges = integers(starts)
        .into_iter()
        .enumerate()
        .map(|(i, start)| {
            let end = (i % time) as u32 + 1;
            (start.clamp(0, i64::from(end)) as u32, end)
        })
        .collect();
    attend(q, k, v, ranges, scale)
}

/// Attention in which each query names the stretch of keys that it sees, grouped-query.
///
/// Causal rows and packed segments are special cases. It also lets two continuations share one prompt:
/// with the first continuation's tokens laid down backwards before the prompt and the second's forwards
/// behind it, what each token sees is one stretch.
///
/// # Shapes
/// - `q`: `[batch, time, heads, dim]`; `k`, `v`: `[batch, time, kv_heads, dim]`
/// - `starts`, `ends`: `[batch, time]`: the query sees the keys `starts..ends`; none gives a zero result
/// - result: as `q`
pub fn ranged_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    starts: Tensor<2, Int>,
    ends: Tensor<2, Int>,
    scale: f64,
) -> Tensor<4> {
    if !(fits(&q) && fits(&k) && fits(&v)) {
        return reference::ranged_attention(q, k, v, starts, ends, scale);
    }
    let [batch, time, _, _] = q.dims();
    assert_eq!(k.dims()[..2], [batch, time], "attention: as many keys as queries");
    assert_eq!(starts.dims(), [batch, time], "attention: one start a query");
    assert_eq!(ends.dims(), [batch, time], "attention: one end a query");
    let ranges = integers(starts)
        .into_iter()
        .zip(integers(ends))
        .map(|(start, end)| {
            let end = end.clamp(0, time as i64);
            (start.clamp(0, end) as u32, end as u32)
        })
        .collect();
    attend(q, k, v, ranges, scale)
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
    if !(fits(&q) && fits(&k) && fits(&v)) {
        return reference::cached_attention(q, k, v, visible, scale);
    }
    assert_eq!(visible.dims(), q.dims()[..2], "attention: one count a query");
    let capacity = k.dims()[1] as i64;
    let ranges =
        integers(visible).into_iter().map(|end| (0, end.clamp(0, capacity) as u32)).collect();
    attend(q, k, v, ranges, scale)
}

/// Attention of the CPU kernels over a range of keys per query.
fn attend(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    ranges: Vec<kernels::attention::Range>,
    scale: f64,
) -> Tensor<4> {
    let ([batch, _, heads, dim], [kv_batch, _, kv_heads, kv_dim]) = (q.dims(), k.dims());
    assert_eq!(k.dims(), v.dims(), "attention: keys and values differ in shape");
    assert_eq!((batch, dim), (kv_batch, kv_dim), "attention: queries and keys don't fit");
    assert!(
        kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "attention: heads not a multiple of key heads"
    );
    let op = flex::Attention { ranges: Arc::new(ranges), scale: scale as f32 };
    Tensor::from_dispatch(apply(op, [q.into_dispatch(), k.into_dispatch(), v.into_dispatch()]))
}

/// Writes the keys or values of new tokens into their cache slots, in place where the cache is
/// owned alone.
///
/// # Shapes
/// - `cache`: `[batch, capacity, kv_heads, dim]`; `new`: `[batch, new, kv_heads, dim]`
/// - `slots`: `[batch, new]`: slot of each token; one outside the cache is skipped (padding)
pub fn write_cache(cache: Tensor<4>, new: Tensor<4>, slots: Tensor<2, Int>) -> Tensor<4> {
    let ([batch, capacity, heads, dim], added) = (cache.dims(), new.dims()[1]);
    assert_eq!(new.dims(), [batch, added, heads, dim], "cache: new entries don't fit");
    assert_eq!(slots.dims(), [batch, added], "cache: one slot a token");
    let (mut cache, new) = match (fused::take(cache), fused::take(new)) {
        (Ok(cache), Ok(new)) => (cache, new),
        (cache, new) => {
            let cache = cache.map_or_else(|x| x, fused::give);
            let new = new.map_or_else(|x| x, fused::give);
            return reference::write_cache(cache, new, slots);
        }
    };
    let width = heads * dim;
    let into = cache.storage_mut::<f32>();
    for (i, slot) in integers(slots).into_iter().enumerate() {
        let Ok(slot) = usize::try_from(slot) else { continue };
        if slot < capacity {
            let at = (i / added * capacity + slot) * width;
            into[at..at + width].copy_from_slice(&fused::values(&new)[i * width..][..width]);
        }
    }
    fused::give(cache)
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
    if !(fits(&hidden) && fits(&lm_head)) || lm_head.dims().contains(&0) {
        return reference::token_nll(hidden, lm_head, targets);
    }
    assert_eq!(hidden.dims()[1], lm_head.dims()[1], "token_nll: hidden sizes differ");
    assert_eq!(hidden.dims()[0], targets.dims()[0], "token_nll: one target a row");
    let op = flex::TokenNll(Arc::new(integers(targets)));
    Tensor::from_dispatch(apply(op, [hidden.into_dispatch(), lm_head.into_dispatch()]))
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
    let same = param.dims() == grad.dims() && param.dims() == m.dims() && param.dims() == v.dims();
    assert!(same, "adamw: shapes differ");
    match (fused::take(param), fused::take(grad), fused::take(m), fused::take(v)) {
        (Ok(mut param), Ok(grad), Ok(mut m), Ok(mut v)) => {
            kernels::adamw::step(
                param.storage_mut(),
                fused::values(&grad),
                m.storage_mut(),
                v.storage_mut(),
                step,
            );
            (fused::give(param), fused::give(m), fused::give(v))
        }
        (param, grad, m, v) => reference::adamw_step(
            param.map_or_else(|x| x, fused::give),
            grad.map_or_else(|x| x, fused::give),
            m.map_or_else(|x| x, fused::give),
            v.map_or_else(|x| x, fused::give),
            step,
        ),
    }
}

/// Sum of the squares of all elements, accumulated in f64 on the CPU in a fixed order.
pub fn sum_of_squares<const D: usize>(x: &Tensor<D>) -> f64 {
    match fused::take(x.clone()) {
        Ok(x) => kernels::adamw::sum_of_squares(fused::values(&x)),
        Err(x) => reference::sum_of_squares(&x),
    }
}
