//! RMS norm and layer norm over rows.

use super::simd::{sum, sum2, sum3};
use super::{rows_per_task, written};
use rayon::prelude::*;
use std::mem::MaybeUninit;

multiversion! {
    fn rms_forward_rows(
        x: &[f32],
        w: &[f32],
        y: &mut [MaybeUninit<f32>],
        rstd: &mut [f32],
        eps: f32,
    ) {
        let h = w.len();
        for ((x, y), r) in x.chunks_exact(h).zip(y.chunks_exact_mut(h)).zip(rstd) {
            let rs = 1.0 / (sum(x, |v| v * v) / h as f32 + eps).sqrt();
            *r = rs;
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                y.write(x * rs * w);
            }
        }
    }
}

/// Result and 1 / rms of each row; `x` is rows of `w.len()`, which is not 0.
pub(in crate::ops) fn rms_forward(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let h = w.len();
    let rows = rows_per_task(h);
    let mut rstd = vec![0.0; x.len() / h];
    assert_eq!(rstd.len() * h, x.len(), "whole rows");
    // SAFETY: `x` is whole rows, as was asserted, so that the tasks cover `y`; of every row all `h` values
    // are written.
    let y = unsafe {
        written(x.len(), |y| {
            y.par_chunks_mut(rows * h)
                .zip(x.par_chunks(rows * h))
                .zip(rstd.par_chunks_mut(rows))
                .for_each(|((y, x), r)| rms_forward_rows(x, w, y, r, eps));
        })
    };
    (y, rstd)
}

multiversion! {
    /// `g` holds dy on entry and dx on return.
    fn rms_backward_rows(x: &[f32], w: &[f32], rstd: &[f32], g: &mut [f32], dw: &mut [f32]) {
        let h = w.len();
        for ((x, g), &r) in x.chunks_exact(h).zip(g.chunks_exact_mut(h)).zip(rstd) {
            let c = sum3(g, w, x, |g, w, x| g * w * x) * r * r / h as f32;
            for (((g, x), w), dw) in g.iter_mut().zip(x).zip(w).zip(dw.iter_mut()) {
                let dy = *g;
                *dw += dy * x * r;
                *g = r * (dy * w - x * c);
            }
        }
    }
}

/// Turns dy in `g` into dx and returns dw.
pub(in crate::ops) fn rms_backward(x: &[f32], w: &[f32], rstd: &[f32], g: &mut [f32]) -> Vec<f32> {
    let h = w.len();
    let rows = rows_per_task(h);
    let parts: Vec<Vec<f32>> = g
        .par_chunks_mut(rows * h)
        .zip(x.par_chunks(rows * h))
        .zip(rstd.par_chunks(rows))
        .map(|((g, x), r)| {
            let mut dw = vec![0.0; h];
            rms_backward_rows(x, w, r, g, &mut dw);
            dw
        })
        .collect();
    add_in_order(parts, h)
}

/// Sum of the tasks' partial sums, in the order of the tasks.
fn add_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut total = vec![0.0; len];
    for part in parts {
        for (t, v) in total.iter_mut().zip(part) {
            *t += v;
        }
    }
    total
}

multiversion! {
    fn layer_forward_rows(
        x: &[f32],
        w: &[f32],
        b: &[f32],
        y: &mut [MaybeUninit<f32>],
        stats: &mut [f32],
        eps: f32,
    ) {
        let h = w.len();
        for ((x, y), s) in x.chunks_exact(h).zip(y.chunks_exact_mut(h)).zip(stats.chunks_exact_mut(2)) {
            let mean = sum(x, |v| v) / h as f32;
            let rs = 1.0 / (sum(x, |v| (v - mean) * (v - mean)) / h as f32 + eps).sqrt();
            s.copy_from_slice(&[mean, rs]);
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
                y.write((x - mean) * rs * w + b);
            }
        }
    }
}

/// Result, and (mean, 1 / deviation) of each row.
pub(in crate::ops) fn layer_forward(
    x: &[f32],
    w: &[f32],
    b: &[f32],
    eps: f32,
) -> (Vec<f32>, Vec<f32>) {
    let h = w.len();
    let rows = rows_per_task(h);
    let mut stats = vec![0.0; x.len() / h * 2];
    assert!(stats.len() / 2 * h == x.len() && b.len() == h, "whole rows");
    // SAFETY: `x` is whole rows, as was asserted, so that the tasks cover `y`; of every row all `h` values
    // are written.
    let y = unsafe {
        written(x.len(), |y| {
            y.par_chunks_mut(rows * h)
                .zip(x.par_chunks(rows * h))
                .zip(stats.par_chunks_mut(rows * 2))
                .for_each(|((y, x), s)| layer_forward_rows(x, w, b, y, s, eps));
        })
    };
    (y, stats)
}

multiversion! {
    /// `g` holds dy on entry and dx on return; `sums` is dw followed by db.
    fn layer_backward_rows(x: &[f32], w: &[f32], stats: &[f32], g: &mut [f32], sums: &mut [f32]) {
        let h = w.len();
        let (dw, db) = sums.split_at_mut(h);
        for ((x, g), s) in x.chunks_exact(h).zip(g.chunks_exact_mut(h)).zip(stats.chunks_exact(2)) {
            let (mean, rs) = (s[0], s[1]);
            let c1 = sum2(g, w, |g, w| g * w) / h as f32;
            let c2 = sum3(g, w, x, |g, w, x| g * w * (x - mean)) * rs / h as f32;
            for ((((g, x), w), dw), db) in
                g.iter_mut().zip(x).zip(w).zip(dw.iter_mut()).zip(db.iter_mut())
            {
                let dy = *g;
                let xhat = (x - mean) * rs;
                *dw += dy * xhat;
                *db += dy;
                *g = rs * (dy * w - c1 - xhat * c2);
            }
        }
    }
}

/// Turns dy in `g` into dx and returns (dw, db).
pub(in crate::ops) fn layer_backward(
    x: &[f32],
    w: &[f32],
    stats: &[f32],
    g: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let h = w.len();
    let rows = rows_per_task(h);
    let parts: Vec<Vec<f32>> = g
        .par_chunks_mut(rows * h)
        .zip(x.par_chunks(rows * h))
        .zip(stats.par_chunks(rows * 2))
        .map(|((g, x), s)| {
            let mut sums = vec![0.0; 2 * h];
            layer_backward_rows(x, w, s, g, &mut sums);
            sums
        })
        .collect();
    let mut dw = add_in_order(parts, 2 * h);
    let db = dw.split_off(h);
    (dw, db)
}

multiversion! {
    fn add_rows(g: &[f32], total: &mut [f32]) {
        for row in g.chunks_exact(total.len()) {
            for (t, v) in total.iter_mut().zip(row) {
                *t += v;
            }
        }
    }
}

/// Sum over the rows: the gradient of a bias of `width`, which is not 0.
pub(in crate::ops) fn column_sums(g: &[f32], width: usize) -> Vec<f32> {
    let rows = rows_per_task(width).max(64);
    let parts: Vec<Vec<f32>> = g
        .par_chunks(rows * width)
        .map(|g| {
            let mut total = vec![0.0; width];
            add_rows(g, &mut total);
            total
        })
        .collect();
    add_in_order(parts, width)
}
