//! SwiGLU and GELU, element by element.

use super::simd::{erf, exp, sigmoid};
use super::{TASK, written};
use rayon::prelude::*;
use std::mem::MaybeUninit;

multiversion! {
    fn swiglu_forward_part(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>]) {
        for ((&a, &b), y) in a.iter().zip(b).zip(y) {
            y.write(a * sigmoid(a) * b);
        }
    }
}

/// `silu(a) * b`; the lengths are equal.
pub(in crate::ops) fn swiglu_forward(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len());
    // SAFETY: all have `a`'s length, so that the zipped parts cover `y`, and each is written to its end.
    unsafe {
        written(a.len(), |y| {
            y.par_chunks_mut(TASK)
                .zip(a.par_chunks(TASK))
                .zip(b.par_chunks(TASK))
                .for_each(|((y, a), b)| swiglu_forward_part(a, b, y));
        })
    }
}

multiversion! {
    /// `g` holds dy on entry and da on return.
    fn swiglu_backward_part(a: &[f32], b: &[f32], g: &mut [f32], db: &mut [MaybeUninit<f32>]) {
        for (((&a, &b), g), db) in a.iter().zip(b).zip(g).zip(db) {
            let s = sigmoid(a);
            let dy = *g;
            db.write(dy * a * s);
            *g = dy * b * s * (1.0 + a * (1.0 - s));
        }
    }
}

/// Turns dy in `g` into da and returns db.
pub(in crate::ops) fn swiglu_backward(a: &[f32], b: &[f32], g: &mut [f32]) -> Vec<f32> {
    assert!(a.len() == b.len() && a.len() == g.len());
    // SAFETY: all have `a`'s length, so that the zipped parts cover `db`, and each is written to its end.
    unsafe {
        written(a.len(), |db| {
            g.par_chunks_mut(TASK)
                .zip(a.par_chunks(TASK))
                .zip(b.par_chunks(TASK))
                .zip(db.par_chunks_mut(TASK))
                .for_each(|(((g, a), b), db)| swiglu_backward_part(a, b, g, db));
        })
    }
}

/// The standard normal distribution function.
#[inline(always)]
#[allow(clippy::inline_always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

multiversion! {
    fn gelu_forward_part(x: &[f32], y: &mut [MaybeUninit<f32>]) {
        for (&x, y) in x.iter().zip(y) {
            y.write(x * normal_cdf(x));
        }
    }
}

/// `x Φ(x)`.
pub(in crate::ops) fn gelu_forward(x: &[f32]) -> Vec<f32> {
    // SAFETY: both have `x`'s length, so that the zipped parts cover `y`, and each is written to its end.
    unsafe {
        written(x.len(), |y| {
            y.par_chunks_mut(TASK)
                .zip(x.par_chunks(TASK))
                .for_each(|(y, x)| gelu_forward_part(x, y));
        })
    }
}

multiversion! {
    /// `x Φ(x)` where it stands, on this thread.
    pub(in crate::ops) fn gelu_part(x: &mut [f32]) {
        for x in x {
            *x *= normal_cdf(*x);
        }
    }
}

multiversion! {
    fn gelu_backward_part(x: &[f32], g: &mut [f32]) {
        /// 1 / sqrt(2 pi)
        const DENSITY: f32 = 0.398_942_3;
        for (&x, g) in x.iter().zip(g) {
            *g *= normal_cdf(x) + x * DENSITY * exp(-0.5 * x * x);
        }
    }
}

/// Turns dy in `g` into dx.
pub(in crate::ops) fn gelu_backward(x: &[f32], g: &mut [f32]) {
    g.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(g, x)| gelu_backward_part(x, g));
}
