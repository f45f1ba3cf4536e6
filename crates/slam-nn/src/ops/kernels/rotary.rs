//! Rotary position embedding, rotate-half.

use super::{rows_per_task, written};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The tables' rows for each token, and the shape of what is turned.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Rotation<'a> {
    /// `[max_positions, half]`
    pub cos: &'a [f32],
    /// `[max_positions, half]`
    pub sin: &'a [f32],
    /// Number of pairs; 2 `half` <= `dim`.
    pub half: usize,
    /// Size of a head.
    pub dim: usize,
    /// Heads of a token.
    pub heads: usize,
    /// 1 forward, -1 backward: the transpose of a rotation is its inverse.
    pub direction: f32,
}

multiversion! {
    fn turn(x: &[f32], cos: &[f32], sin: &[f32], direction: f32, dim: usize, y: &mut [MaybeUninit<f32>]) {
        let half = cos.len();
        for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)) {
            let (x1, rest) = x.split_at(half);
            let (x2, pass) = rest.split_at(half);
            let (y1, rest) = y.split_at_mut(half);
            let (y2, rest) = rest.split_at_mut(half);
            for (((((x1, x2), y1), y2), c), s) in
                x1.iter().zip(x2).zip(y1).zip(y2).zip(cos).zip(sin)
            {
                let s = s * direction;
                y1.write(x1 * c - x2 * s);
                y2.write(x2 * c + x1 * s);
            }
            for (x, y) in pass.iter().zip(rest) {
                y.write(*x);
            }
        }
    }
}

/// Turns `x` (`[tokens, heads, dim]`) by each token's position; a position that the tables don't
/// have gives NaN.
pub(in crate::ops) fn rotate(x: &[f32], positions: &[i64], by: Rotation) -> Vec<f32> {
    let token = by.heads * by.dim;
    assert!(x.len() == positions.len() * token && 2 * by.half <= by.dim && by.half > 0);
    let tokens = rows_per_task(token);
    // SAFETY: `x` and `positions` are of one number of tokens, as was asserted, so that the tasks cover
    // all of `y`; each token is written whole, turned (`dim` values a head) or filled.
    unsafe {
        written(x.len(), |y| {
            y.par_chunks_mut(tokens * token)
                .zip(x.par_chunks(tokens * token))
                .zip(positions.par_chunks(tokens))
                .for_each(|((y, x), positions)| {
                    for ((y, x), &at) in
                        y.chunks_exact_mut(token).zip(x.chunks_exact(token)).zip(positions)
                    {
                        let at = usize::try_from(at).unwrap_or(usize::MAX);
                        let row = at.checked_mul(by.half).and_then(|start| {
                            let row = start..start.checked_add(by.half)?;
                            Some((by.cos.get(row.clone())?, by.sin.get(row)?))
                        });
                        match row {
                            Some((cos, sin)) => turn(x, cos, sin, by.direction, by.dim, y),
                            None => y.fill(MaybeUninit::new(f32::NAN)),
                        }
                    }
                });
        })
    }
}
