//! Negative log-likelihood of target tokens from hidden states, logits made some rows at a time.

use super::product::{Into, Matrix, Threads, product_into};
use super::simd::{exp, max, sum};
use rayon::prelude::*;

/// Logits held at a time, in elements (16 MiB).
const LOGITS: usize = 4 << 20;

/// Sizes of the head.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Head {
    pub hidden: usize,
    pub vocab: usize,
}

impl Head {
    /// Rows whose logits are made at a time: a function of the vocabulary alone.
    fn rows(self) -> usize {
        (LOGITS / self.vocab.max(1)).clamp(32, 2048)
    }

    /// Logits of `x` into `logits`.
    fn logits(self, x: &[f32], w: &[f32], logits: &mut [f32]) {
        let rows = x.len() / self.hidden;
        let x = Matrix::new(x, rows, self.hidden, self.hidden);
        let w = Matrix::new(w, self.vocab, self.hidden, self.hidden);
        product_into(logits, Into::Replace, 1.0, x, w.transposed(), Threads::All);
    }
}

multiversion! {
    fn log_sum_exp(x: &[f32]) -> f32 {
        let top = max(x);
        sum(x, |v| exp(v - top)).ln() + top
    }
}

multiversion! {
    fn softmax_gradient(x: &mut [f32], lse: f32, factor: f32) {
        for v in x {
            *v = exp(*v - lse) * factor;
        }
    }
}

/// NLL and logarithm of the sum of each row. A negative target gives 0, one of `vocab` or above
/// NaN.
pub(in crate::ops) fn forward(
    x: &[f32],
    w: &[f32],
    targets: &[i64],
    head: Head,
) -> (Vec<f32>, Vec<f32>) {
    let rows = head.rows();
    let mut nll = vec![0.0; targets.len()];
    let mut lse = vec![0.0; targets.len()];
    let mut logits = vec![0.0; rows.min(targets.len()) * head.vocab];
    for (((x, targets), nll), lse) in x
        .chunks(rows * head.hidden)
        .zip(targets.chunks(rows))
        .zip(nll.chunks_mut(rows))
        .zip(lse.chunks_mut(rows))
    {
        head.logits(x, w, &mut logits);
        logits
            .par_chunks_exact(head.vocab)
            .zip(targets)
            .zip(nll)
            .zip(lse)
            .with_min_len(16)
            .for_each(|(((logits, &target), nll), lse)| {
                *lse = log_sum_exp(logits);
                if let Ok(target) = usize::try_from(target) {
                    *nll = logits.get(target).map_or(f32::NAN, |logit| *lse - logit);
                }
            });
    }
    (nll, lse)
}

/// Gradients (dx, dw) for the gradient `dy` of each row's NLL.
pub(in crate::ops) fn backward(
    x: &[f32],
    w: &[f32],
    targets: &[i64],
    lse: &[f32],
    dy: &[f32],
    head: Head,
) -> (Vec<f32>, Vec<f32>) {
    let rows = head.rows();
    let mut dx = vec![0.0; x.len()];
    let mut dw = vec![0.0; w.len()];
    let mut logits = vec![0.0; rows.min(targets.len()) * head.vocab];
    for ((((x, dx), targets), lse), dy) in x
        .chunks(rows * head.hidden)
        .zip(dx.chunks_mut(rows * head.hidden))
        .zip(targets.chunks(rows))
        .zip(lse.chunks(rows))
        .zip(dy.chunks(rows))
    {
        head.logits(x, w, &mut logits);
        logits
            .par_chunks_exact_mut(head.vocab)
            .zip(targets)
            .zip(lse)
            .zip(dy)
            .with_min_len(16)
            .for_each(|(((logits, &target), &lse), &dy)| match usize::try_from(target) {
                Ok(target) => {
                    softmax_gradient(logits, lse, dy);
                    match logits.get_mut(target) {
                        Some(logit) => *logit -= dy,
                        None => logits.fill(f32::NAN),
                    }
                }
                Err(_) => logits.fill(0.0),
            });
        let n = targets.len();
        let d_logits = Matrix::new(&logits, n, head.vocab, head.vocab);
        let weight = Matrix::new(w, head.vocab, head.hidden, head.hidden);
        let x = Matrix::new(x, n, head.hidden, head.hidden);
        product_into(dx, Into::Replace, 1.0, d_logits, weight, Threads::All);
        product_into(&mut dw, Into::Add, 1.0, d_logits.transposed(), x, Threads::All);
    }
    (dx, dw)
}
