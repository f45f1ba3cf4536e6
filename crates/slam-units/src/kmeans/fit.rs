//! Fitting: mini-batches (Sculley, 2010) and then Lloyd's algorithm, from a k-means++ start.
//!
//! Every sum has a fixed order, so that the same data and seed give the same centroids on any number of
//! threads.

use burn::tensor::Device;
use rayon::prelude::*;
use slam_dataset::rng::Rng;

use super::{BLOCK, KMeans, KMeansConfig, KMeansError};
use crate::lanes;

/// Frames that the start is drawn from, for each centroid.
const START_FRAMES: usize = 40;

impl KMeans {
    /// Fits centroids to frames `[n, dim]`, distances being computed on a device.
    ///
    /// # Errors
    /// If there are fewer frames than centroids, k is out of range, or a value is not finite.
    pub fn fit(
        frames: &[f32],
        dim: usize,
        config: &KMeansConfig,
        device: &Device,
    ) -> Result<Self, KMeansError> {
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
        let start = evenly(&scaled, dim, START_FRAMES * config.k);
        let mut centroids = plus_plus(&start, dim, config.k, &mut rng);
        let ones = vec![1.0; dim];
        let model = |centroids: &[f32]| Self::on(device, centroids.to_vec(), dim, ones.clone());
        let batch = config.batch.max(1);
        let mut counts = vec![0u64; config.k];
        // One batch would be a round.
        for _ in 0..if batch < n { config.passes } else { 0 } {
            let mut order: Vec<usize> = (0..n).collect();
            rng.shuffle(&mut order);
            for chosen in order.chunks(batch) {
                let frames: Vec<f32> = chosen
                    .iter()
                    .flat_map(|&i| scaled[i * dim..(i + 1) * dim].iter().copied())
                    .collect();
                let labels = model(&centroids).labels(&frames);
                step(&mut centroids, &mut counts, &frames, dim, &labels);
            }
            // What was learnt from worse centroids counts less.
            for c in &mut counts {
                *c /= 2;
            }
        }
        let mut labels: Vec<(u16, f32)> = Vec::new();
        for _ in 0..config.rounds {
            let next = model(&centroids).labels(&scaled);
            let changed = labels.len() != next.len()
                || labels.iter().zip(&next).any(|(old, new)| old.0 != new.0);
            labels = next;
            centroids = means(&scaled, dim, &labels, config.k);
            if !changed {
                break;
            }
        }
        Ok(Self::new(centroids, dim, scale))
    }

    /// [`Self::nearest`] of many frames, on all threads.
    fn labels(&self, frames: &[f32]) -> Vec<(u16, f32)> {
        let blocks: Vec<&[f32]> = frames.chunks(BLOCK * self.dim).collect();
        if slam_nn::device::is_cpu(&self.device) {
            lanes::map(&blocks, |b| b.len(), |b| self.nearest(b)).concat()
        } else {
            blocks.into_iter().flat_map(|b| self.nearest(b)).collect()
        }
    }
}

/// Evenly spaced frames of a stream of unknown length, in memory for twice as many at most: every speaker counts
/// as much as the frames are many.
pub(crate) struct Thinned {
    dim: usize,
    limit: usize,
    /// Every so many frames of the stream one is kept.
    step: usize,
    seen: usize,
    kept: Vec<f32>,
}

impl Thinned {
    pub(crate) fn new(dim: usize, limit: usize) -> Self {
        Self { dim, limit: limit.max(1), step: 1, seen: 0, kept: Vec::new() }
    }

    /// Takes the stream's next frames `[n, dim]`.
    pub(crate) fn extend(&mut self, frames: &[f32]) {
        for frame in frames.chunks_exact(self.dim) {
            if self.seen.is_multiple_of(self.step) {
                self.kept.extend_from_slice(frame);
            }
            self.seen += 1;
            if self.kept.len() > 2 * self.limit * self.dim {
                self.step *= 2;
                let kept = self.kept.chunks_exact(self.dim).step_by(2).flatten().copied();
                self.kept = kept.collect();
            }
        }
    }

    /// The frames that are left, at most the limit.
    pub(crate) fn finish(self) -> Vec<f32> {
        evenly(&self.kept, self.dim, self.limit)
    }
}

/// At most so many frames, evenly spaced.
fn evenly(frames: &[f32], dim: usize, count: usize) -> Vec<f32> {
    let n = frames.len() / dim;
    let count = count.min(n);
    let row = |i: usize| i * n / count * dim;
    (0..count).flat_map(|i| frames[row(i)..row(i) + dim].iter().copied()).collect()
}

/// Moves each centroid towards the mean of its frames of a mini-batch, by their share of all that it has seen.
fn step(
    centroids: &mut [f32],
    counts: &mut [u64],
    frames: &[f32],
    dim: usize,
    labels: &[(u16, f32)],
) {
    let k = counts.len();
    let (mut sums, mut new) = (vec![0.0f64; k * dim], vec![0u64; k]);
    for (frame, &(label, _)) in frames.chunks_exact(dim).zip(labels) {
        let c = usize::from(label);
        new[c] += 1;
        let sums = &mut sums[c * dim..(c + 1) * dim];
        sums.iter_mut().zip(frame).for_each(|(s, &x)| *s += f64::from(x));
    }
    for c in (0..k).filter(|&c| new[c] > 0) {
        counts[c] += new[c];
        let (seen, added) = (counts[c] as f64, new[c] as f64);
        let centroid = &mut centroids[c * dim..(c + 1) * dim];
        for (value, sum) in centroid.iter_mut().zip(&sums[c * dim..]) {
            let old = f64::from(*value);
            *value = (old + (sum - added * old) / seen) as f32;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_thinned_evenly_however_it_is_cut() {
        for n in [5, 20, 21, 97, 1000] {
            let stream: Vec<f32> = (0..n).flat_map(|i| [i as f32, 0.5]).collect();
            let thin = |piece: usize| {
                let mut thinned = Thinned::new(2, 10);
                stream.chunks(2 * piece).for_each(|p| thinned.extend(p));
                thinned.finish()
            };
            let kept = thin(3);
            assert_eq!(kept, thin(n));
            assert_eq!(kept.len() / 2, n.min(10));
            let gaps: Vec<f32> = kept.windows(4).step_by(2).map(|w| w[2] - w[0]).collect();
            let (least, most) =
                gaps.iter().fold((f32::MAX, 0f32), |(l, m), &g| (l.min(g), m.max(g)));
            assert!(least >= 1.0 && most <= 2.0 * least, "{n}: {gaps:?}");
        }
    }
}
