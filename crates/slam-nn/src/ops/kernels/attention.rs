//! Attention over a range of keys per query, without a matrix of all queries by all keys.
//!
//! Forward takes a block of queries at a time: scores against every key that the block sees, softmax
//! of each row, product with the values; the logarithm of each row's sum is kept. Backward makes the
//! probabilities again from it (Dao et al. 2022, Algorithm 4), so memory grows with the time, not
//! with its square.

use super::Shared;
use super::product::{Into, Matrix, Threads, product, product_into};
use super::simd::{exp, max, sum, sum2};
use rayon::prelude::*;

/// Sizes of one attention call.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
    pub scale: f32,
}

impl Sizes {
    /// Queries taken at a time: fewer waste less above the diagonal, more make larger products.
    fn block(&self) -> usize {
        if self.keys <= 512 { 64 } else { 128 }
    }
}

/// The keys `[first, end)` that a query sees.
pub(in crate::ops) type Range = (u32, u32);

/// Keys that any query of a block sees.
fn union(ranges: &[Range]) -> (usize, usize) {
    let seen = ranges.iter().filter(|(lo, hi)| lo < hi);
    let lo = seen.clone().map(|r| r.0).min().unwrap_or(0);
    let hi = seen.map(|r| r.1).max().unwrap_or(0);
    (lo as usize, hi as usize)
}

multiversion! {
    /// Turns rows of scores into probabilities, 0 outside the row's range.
    fn softmax_rows(s: &mut [f32], width: usize, offset: usize, ranges: &[Range], lse: &mut [f32]) {
        for ((row, &(lo, hi)), lse) in s.chunks_exact_mut(width).zip(ranges).zip(lse) {
            if lo >= hi {
                row.fill(0.0);
                *lse = 0.0;
                continue;
            }
            let (lo, hi) = (lo as usize - offset, hi as usize - offset);
            row[..lo].fill(0.0);
            row[hi..].fill(0.0);
            let row = &mut row[lo..hi];
            let top = max(row);
            for v in row.iter_mut() {
                *v = exp(*v - top);
            }
            let total = sum(row, |v| v);
            *lse = top + total.ln();
            let factor = 1.0 / total;
            for v in row.iter_mut() {
                *v *= factor;
            }
        }
    }
}

multiversion! {
    /// Turns rows of scores into probabilities by the kept logarithms.
    fn probability_rows(s: &mut [f32], width: usize, offset: usize, ranges: &[Range], lse: &[f32]) {
        for ((row, &(lo, hi)), &lse) in s.chunks_exact_mut(width).zip(ranges).zip(lse) {
            if lo >= hi {
                row.fill(0.0);
                continue;
            }
            let (lo, hi) = (lo as usize - offset, hi as usize - offset);
            row[..lo].fill(0.0);
            row[hi..].fill(0.0);
            for v in &mut row[lo..hi] {
                *v = exp(*v - lse);
            }
        }
    }
}

multiversion! {
    /// `dp` becomes the gradient of the scores: `p * (dp - delta)`.
    fn score_gradient_rows(p: &[f32], dp: &mut [f32], width: usize, delta: &[f32]) {
        for ((p, dp), &delta) in p.chunks_exact(width).zip(dp.chunks_exact_mut(width)).zip(delta) {
            for (p, dp) in p.iter().zip(dp) {
                *dp = p * (*dp - delta);
            }
        }
    }
}

multiversion! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum2(a, b, |a, b| a * b)
    }
}

/// Result `[batch, queries, heads, dim]` and logarithm of each row's sum `[batch, queries, heads]`
/// (within a block of queries: `[heads, block]`).
pub(in crate::ops) fn forward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    ranges: &[Range],
    n: Sizes,
) -> (Vec<f32>, Vec<f32>) {
    let (token, kv_token) = (n.heads * n.dim, n.kv_heads * n.dim);
    let group = n.heads / n.kv_heads;
    let mut out = vec![0.0; q.len()];
    let mut lse = vec![0.0; n.batch * n.queries * n.heads];
    if out.is_empty() {
        return (out, lse);
    }
    let block = n.block();
    // Rows of the batch first, blocks of a row within them: no block crosses two rows.
    out.par_chunks_mut(n.queries * token)
        .zip(lse.par_chunks_mut(n.queries * n.heads))
        .enumerate()
        .for_each(|(b, (out, lse))| {
            let q = &q[b * n.queries * token..][..n.queries * token];
            let k = &k[b * n.keys * kv_token..][..n.keys * kv_token];
            let v = &v[b * n.keys * kv_token..][..n.keys * kv_token];
            let ranges = &ranges[b * n.queries..][..n.queries];
            out.par_chunks_mut(block * token)
                .zip(lse.par_chunks_mut(block * n.heads))
                .zip(q.par_chunks(block * token))
                .zip(ranges.par_chunks(block))
                .for_each(|(((out, lse), q), ranges)| {
                    let rows = ranges.len();
                    let (lo, hi) = union(ranges);
                    let width = hi - lo;
                    if width == 0 {
                        return;
                    }
                    let mut scores = vec![0.0; rows * width];
                    for h in 0..n.heads {
                        let at = (h / group) * n.dim;
                        let q = Matrix::new(&q[h * n.dim..], rows, n.dim, token);
                        let k = Matrix::new(&k[lo * kv_token + at..], width, n.dim, kv_token);
                        let v = Matrix::new(&v[lo * kv_token + at..], width, n.dim, kv_token);
                        let one = Threads::One;
                        product_into(&mut scores, Into::Replace, n.scale, q, k.transposed(), one);
                        let lse = &mut lse[h * rows..][..rows];
                        softmax_rows(&mut scores, width, lo, ranges, lse);
                        let p = Matrix::new(&scores, rows, width, width);
                        let out = &mut out[h * n.dim..];
                        assert!(out.len() >= (rows - 1) * token + n.dim);
                        // SAFETY: `rows` rows of `dim` values, `token` apart, end within `out`, as was asserted;
                        // `out` is borrowed by this task alone, which takes one head after another.
                        unsafe { product(out.as_mut_ptr(), token, Into::Replace, 1.0, p, v, one) }
                    }
                });
        });
    (out, lse)
}

/// What forward was given and gave.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Kept<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a [f32],
    pub lse: &'a [f32],
    pub ranges: &'a [Range],
}

/// Gradients (dq, dk, dv) in the layouts of q, k and v.
pub(in crate::ops) fn backward(x: Kept, d_out: &[f32], n: Sizes) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (token, kv_token) = (n.heads * n.dim, n.kv_heads * n.dim);
    let group = n.heads / n.kv_heads;
    assert_eq!(d_out.len(), x.q.len());
    let mut dq = vec![0.0; x.q.len()];
    if dq.is_empty() || x.k.is_empty() {
        return (dq, vec![0.0; x.k.len()], vec![0.0; x.v.len()]);
    }
    let block = n.block();
    // Gradients of keys and values per query head: [batch, heads, (dk, dv), keys, dim].
    let per_head = 2 * n.keys * n.dim;
    let mut parts = vec![0.0; n.batch * n.heads * per_head];
    let shared = Shared(dq.as_mut_ptr());
    parts.par_chunks_mut(per_head).enumerate().for_each(|(task, parts)| {
        let (b, h) = (task / n.heads, task % n.heads);
        let at = (h / group) * n.dim;
        let (dk, dv) = parts.split_at_mut(n.keys * n.dim);
        let k = &x.k[b * n.keys * kv_token..][..n.keys * kv_token];
        let v = &x.v[b * n.keys * kv_token..][..n.keys * kv_token];
        let (mut p, mut ds, mut delta) = (Vec::new(), Vec::new(), vec![0.0; block]);
        for first in (0..n.queries).step_by(block) {
            let rows = block.min(n.queries - first);
            let ranges = &x.ranges[b * n.queries + first..][..rows];
            let (lo, hi) = union(ranges);
            let width = hi - lo;
            if width == 0 {
                continue;
            }
            let start = (b * n.queries + first) * token + h * n.dim;
            let lse = &x.lse[(b * n.queries + first) * n.heads + h * rows..][..rows];
            for (i, delta) in delta[..rows].iter_mut().enumerate() {
                let row = start + i * token..start + i * token + n.dim;
                *delta = dot(&x.out[row.clone()], &d_out[row]);
            }
            p.resize(rows * width, 0.0);
            ds.resize(rows * width, 0.0);
            let q = Matrix::new(&x.q[start..], rows, n.dim, token);
            let d_out = Matrix::new(&d_out[start..], rows, n.dim, token);
            let k = Matrix::new(&k[lo * kv_token + at..], width, n.dim, kv_token);
            let v = Matrix::new(&v[lo * kv_token + at..], width, n.dim, kv_token);
            let one = Threads::One;
            product_into(&mut p, Into::Replace, n.scale, q, k.transposed(), one);
            probability_rows(&mut p, width, lo, ranges, lse);
            product_into(&mut ds, Into::Replace, 1.0, d_out, v.transposed(), one);
            score_gradient_rows(&p, &mut ds, width, &delta[..rows]);
            let p = Matrix::new(&p, rows, width, width);
            let ds = Matrix::new(&ds, rows, width, width);
            product_into(&mut dv[lo * n.dim..], Into::Add, 1.0, p.transposed(), d_out, one);
            product_into(&mut dk[lo * n.dim..], Into::Add, n.scale, ds.transposed(), q, one);
            // SAFETY: dq is as long as q, and these rows lie within q, as `Matrix::new` asserted; no other
            // task has this head of this row of the batch, and nobody looks at dq before all are done.
            unsafe { product(shared.at(start).0, token, Into::Replace, n.scale, ds, k, one) };
        }
    });
    let gather = |second: usize| {
        let mut total = vec![0.0; n.batch * n.keys * kv_token];
        total.par_chunks_mut(kv_token).enumerate().for_each(|(row, total)| {
            let (b, key) = (row / n.keys, row % n.keys);
            for (kv, total) in total.chunks_exact_mut(n.dim).enumerate() {
                for h in kv * group..(kv + 1) * group {
                    let start = (b * n.heads + h) * per_head + (second * n.keys + key) * n.dim;
                    for (t, v) in total.iter_mut().zip(&parts[start..start + n.dim]) {
                        *t += v;
                    }
                }
            }
        });
        total
    };
    let (dk, dv) = (gather(0), gather(1));
    (dq, dk, dv)
}
