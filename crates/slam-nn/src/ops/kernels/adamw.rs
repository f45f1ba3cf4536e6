//! AdamW and gradient norms.

use super::TASK;
use super::simd::LANES;
use crate::ops::arguments::AdamWStep;
use rayon::prelude::*;

/// The factors of a step, computed in f64 as torch does.
#[derive(Clone, Copy)]
struct Factors {
    decay: f32,
    mix1: f32,
    keep2: f32,
    mix2: f32,
    step_size: f32,
    correction2: f32,
    eps: f32,
    grad_scale: f32,
}

multiversion! {
    fn step_part(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: Factors) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * f.grad_scale;
            *m += (g - *m) * f.mix1;
            *v = *v * f.keep2 + g * g * f.mix2;
            let denominator = v.sqrt() / f.correction2 + f.eps;
            *p = *p * f.decay - f.step_size * (*m / denominator);
        }
    }
}

/// One step in place; the four lengths are equal.
pub(in crate::ops) fn step(
    p: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    step: &AdamWStep,
) {
    let n = step.step as f64;
    let factors = Factors {
        decay: (1.0 - step.lr * step.weight_decay) as f32,
        mix1: (1.0 - step.beta1) as f32,
        keep2: step.beta2 as f32,
        mix2: (1.0 - step.beta2) as f32,
        step_size: (step.lr / (1.0 - step.beta1.powf(n))) as f32,
        correction2: (1.0 - step.beta2.powf(n)).sqrt() as f32,
        eps: step.eps as f32,
        grad_scale: step.grad_scale as f32,
    };
    p.par_chunks_mut(TASK)
        .zip(g.par_chunks(TASK))
        .zip(m.par_chunks_mut(TASK))
        .zip(v.par_chunks_mut(TASK))
        .for_each(|(((p, g), m), v)| step_part(p, g, m, v, factors));
}

multiversion! {
    fn squares_part(x: &[f32]) -> f64 {
        let mut acc = [0.0f64; LANES];
        let (chunks, tail) = x.as_chunks::<LANES>();
        for chunk in chunks {
            for (acc, &v) in acc.iter_mut().zip(chunk) {
                *acc += f64::from(v) * f64::from(v);
            }
        }
        let mut total: f64 = acc.iter().sum();
        for &v in tail {
            total += f64::from(v) * f64::from(v);
        }
        total
    }
}

/// Sum of squares in f64.
pub(in crate::ops) fn sum_of_squares(x: &[f32]) -> f64 {
    let parts: Vec<f64> = x.par_chunks(TASK).map(squares_part).collect();
    parts.iter().sum()
}
