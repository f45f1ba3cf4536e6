//! Fitting: Lloyd's algorithm from a k-means++ start.
//!
//! Every sum has a fixed order, so that the same data and seed give the same centroids on any number of
//! threads.

use rayon::prelude::*;
use slam_dataset::rng::Rng;

use super::{KMeans, KMeansConfig, KMeansError};

/// Frames a task handles; also the unit of partial sums.
const BLOCK: usize = 2048;

impl KMeans {
    /// Fits centroids to frames `[n, dim]`.
    ///
    /// # Errors
    /// If there are fewer frames than centroids, k is out of range, or a value is not finite.
    pub fn fit(frames: &[f32], dim: usize, config: &KMeansConfig) -> Result<Self, KMeansError> {
        let n = frames.len() / dim;
        if config.k == 0 || config.k > usize::from(u16::MAX) {
            return Err(KMeansError::K(config.k));
        }
        if n < config.k {
            return Err(KMeansError::TooFew { frames: n, k: config.k });
        }
        if let Some(i) = frames.iter().position(|x| !x.is_finite()) {
            return Err(KMeansError::NotFinite(i / dim));
        }
        let scale = if config.standardise { unit_variance(frames, dim) } else { vec![1.0; dim] };
        let scaled: Vec<f32> = frames
            .par_chunks(dim)
            .flat_map_iter(|f| f.iter().zip(&scale).map(|(x, s)| x * s))
            .collect();
        let mut rng = Rng::new(config.seed);
        let mut centroids = plus_plus(&scaled, dim, config.k, &mut rng);
        let ones = vec![1.0; dim];
        let mut labels = Vec::new();
        for _ in 0..config.rounds {
            let model = Self::new(&centroids, dim, ones.clone());
            let next: Vec<(u16, f32)> = scaled
                .par_chunks(BLOCK * dim)
                .flat_map_iter(|block| {
                    let mut scores = vec![0.0; model.k];
                    block
                        .chunks_exact(dim)
                        .map(|f| model.nearest(f, &mut scores))
                        .collect::<Vec<_>>()
                })
                .collect();
            let changed = labels != next.iter().map(|l| l.0).collect::<Vec<_>>();
            labels = next.iter().map(|l| l.0).collect();
            centroids = means(&scaled, dim, &next, config.k);
            if !changed {
                break;
            }
        }
        Ok(Self::new(&centroids, dim, scale))
    }
}

/// One over the standard deviation of each value (1 where it never changes).
fn unit_variance(frames: &[f32], dim: usize) -> Vec<f32> {
    let n = (frames.len() / dim) as f64;
    let mut sums = vec![(0.0f64, 0.0f64); dim];
    for frame in frames.chunks_exact(dim) {
        for ((sum, squares), &x) in sums.iter_mut().zip(frame) {
            *sum += f64::from(x);
            *squares += f64::from(x).powi(2);
        }
    }
    sums.into_iter()
        .map(|(sum, squares)| {
            let variance = squares / n - (sum / n).powi(2);
            if variance > 1e-12 { (1.0 / variance.sqrt()) as f32 } else { 1.0 }
        })
        .collect()
}

/// k-means++ (Arthur and Vassilvitskii, 2007): each next centroid is drawn in proportion to the squared
/// distance to the nearest one so far.
fn plus_plus(frames: &[f32], dim: usize, k: usize, rng: &mut Rng) -> Vec<f32> {
    let n = frames.len() / dim;
    let frame = |i: usize| &frames[i * dim..(i + 1) * dim];
    let mut centroids = frame(rng.below(n)).to_vec();
    let mut distances = vec![f32::INFINITY; n];
    for _ in 1..k {
        let last = centroids[centroids.len() - dim..].to_vec();
        let sums: Vec<f64> = distances
            .par_chunks_mut(BLOCK)
            .zip(frames.par_chunks(BLOCK * dim))
            .map(|(distances, frames)| {
                let mut sum = 0.0;
                for (d, f) in distances.iter_mut().zip(frames.chunks_exact(dim)) {
                    let new: f32 = f.iter().zip(&last).map(|(a, b)| (a - b) * (a - b)).sum();
                    *d = d.min(new);
                    sum += f64::from(*d);
                }
                sum
            })
            .collect();
        let mut target = rng.uniform() * sums.iter().sum::<f64>();
        let mut chosen = n - 1;
        'blocks: for (block, &sum) in sums.iter().enumerate() {
            if target > sum {
                target -= sum;
                continue;
            }
            let first = block * BLOCK;
            for (i, &d) in distances[first..(first + BLOCK).min(n)].iter().enumerate() {
                target -= f64::from(d);
                if target <= 0.0 {
                    chosen = first + i;
                    break 'blocks;
                }
            }
        }
        centroids.extend_from_slice(frame(chosen));
    }
    centroids
}

/// The mean of each centroid's frames; a centroid without frames moves to the frame that is farthest from
/// its own.
fn means(frames: &[f32], dim: usize, labels: &[(u16, f32)], k: usize) -> Vec<f32> {
    let parts: Vec<(Vec<f64>, Vec<u32>)> = frames
        .par_chunks(8 * BLOCK * dim)
        .zip(labels.par_chunks(8 * BLOCK))
        .map(|(frames, labels)| {
            let (mut sums, mut counts) = (vec![0.0; k * dim], vec![0; k]);
            for (f, &(label, _)) in frames.chunks_exact(dim).zip(labels) {
                let c = usize::from(label);
                counts[c] += 1;
                for (s, &x) in sums[c * dim..(c + 1) * dim].iter_mut().zip(f) {
                    *s += f64::from(x);
                }
            }
            (sums, counts)
        })
        .collect();
    let (mut sums, mut counts) = (vec![0.0; k * dim], vec![0u32; k]);
    for (s, c) in parts {
        sums.iter_mut().zip(s).for_each(|(a, b)| *a += b);
        counts.iter_mut().zip(c).for_each(|(a, b)| *a += b);
    }
    let mut farthest: Vec<usize> = Vec::new();
    let mut out = Vec::with_capacity(k * dim);
    for c in 0..k {
        if counts[c] > 0 {
            let n = f64::from(counts[c]);
            out.extend(sums[c * dim..(c + 1) * dim].iter().map(|s| (s / n) as f32));
        } else {
            let far = (0..labels.len())
                .filter(|i| !farthest.contains(i))
                .max_by(|&a, &b| labels[a].1.total_cmp(&labels[b].1).then(b.cmp(&a)))
                .unwrap_or(0);
            farthest.push(far);
            out.extend_from_slice(&frames[far * dim..(far + 1) * dim]);
        }
    }
    out
}
