//! k-means: fitting by Lloyd's algorithm from a k-means++ start, and exact assignment.
//!
//! Features are scaled to unit variance first; the scale is part of the centroids. Every sum has a fixed
//! order, so that the same data and seed give the same centroids on any number of threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use slam_dataset::rng::Rng;

/// Frames a task handles; also the unit of partial sums.
const BLOCK: usize = 2048;

/// Parameters of fitting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KMeansConfig {
    /// How many centroids.
    pub k: usize,
    /// The seed of the start.
    pub seed: u64,
    /// Rounds of Lloyd's algorithm at most; it ends early when no frame changes its centroid.
    pub rounds: usize,
    /// Frames to fit on at most, evenly spaced over all there are.
    pub max_frames: usize,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { k: 500, seed: 0, rounds: 30, max_frames: 200_000 }
    }
}

/// Centroids that cannot be fitted or read.
#[derive(Debug, thiserror::Error)]
pub enum KMeansError {
    /// Fewer frames than centroids.
    #[error("{frames} frames are too few for {k} centroids; take more shards or a smaller k")]
    TooFew {
        /// Frames.
        frames: usize,
        /// Centroids.
        k: usize,
    },
    /// A parameter out of its range.
    #[error("k is {0}: must be 1 to 65,535, as units are 16-bit numbers")]
    K(usize),
    /// A value that is not finite.
    #[error("frame {0} has a value that is not finite")]
    NotFinite(usize),
    /// A file that holds no centroids.
    #[error("failed to read centroids from {path}: {message}; fit them again")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file that cannot be written.
    #[error("failed to write centroids to {path}: {message}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// Centroids, and the scale features have before they are compared with them.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    dim: usize,
    k: usize,
    /// `[dim]`, multiplied with each frame.
    scale: Vec<f32>,
    /// `[dim, k]`, so that one frame's distances to all centroids are computed side by side.
    columns: Vec<f32>,
    /// Half the squared norm of each centroid.
    half_norms: Vec<f32>,
}

impl KMeans {
    /// Centroids `[k, dim]` in scaled space.
    fn new(centroids: &[f32], dim: usize, scale: Vec<f32>) -> Self {
        let k = centroids.len() / dim;
        let mut columns = vec![0.0; centroids.len()];
        for (c, row) in centroids.chunks_exact(dim).enumerate() {
            for (d, &v) in row.iter().enumerate() {
                columns[d * k + c] = v;
            }
        }
        let half_norms = centroids
            .chunks_exact(dim)
            .map(|row| (row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 2.0) as f32)
            .collect();
        Self { dim, k, scale, columns, half_norms }
    }

    /// How many centroids there are.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Values of a frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

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
        let scale = unit_variance(frames, dim);
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

    /// The centroid nearest to a scaled frame (the lowest of equals) and half the squared distance.
    fn nearest(&self, frame: &[f32], scores: &mut [f32]) -> (u16, f32) {
        // |x − c|²/2 = |x|²/2 + |c|²/2 − x·c; the first term is the same for every centroid.
        scores.copy_from_slice(&self.half_norms);
        for (&x, column) in frame.iter().zip(self.columns.chunks_exact(self.k)) {
            for (score, c) in scores.iter_mut().zip(column) {
                *score -= x * c;
            }
        }
        let mut best = 0;
        for (i, &score) in scores.iter().enumerate() {
            if score < scores[best] {
                best = i;
            }
        }
        let norm: f32 = frame.iter().map(|x| x * x).sum::<f32>() / 2.0;
        (best as u16, (norm + scores[best]).max(0.0))
    }

    /// The nearest centroid of each frame `[n, dim]`: a function of the frame alone.
    pub fn assign(&self, frames: &[f32]) -> Vec<u16> {
        let mut scores = vec![0.0; self.k];
        let mut scaled = vec![0.0; self.dim];
        frames
            .chunks_exact(self.dim)
            .map(|frame| {
                for ((out, x), s) in scaled.iter_mut().zip(frame).zip(&self.scale) {
                    *out = x * s;
                }
                self.nearest(&scaled, &mut scores).0
            })
            .collect()
    }

    /// The mean squared distance of frames to their centroids, in scaled space.
    pub fn inertia(&self, frames: &[f32]) -> f64 {
        let mut scores = vec![0.0; self.k];
        let n = frames.len() / self.dim;
        let sum: f64 = frames
            .chunks_exact(self.dim)
            .map(|f| {
                let scaled: Vec<f32> = f.iter().zip(&self.scale).map(|(x, s)| x * s).collect();
                2.0 * f64::from(self.nearest(&scaled, &mut scores).1)
            })
            .sum();
        sum / n.max(1) as f64
    }

    /// Writes `centroids` [k, dim] and `scale` [dim] as safetensors.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), KMeansError> {
        let fail = |message: String| KMeansError::Write { path: path.to_owned(), message };
        let mut rows = Vec::with_capacity(4 * self.k * self.dim);
        for c in 0..self.k {
            for d in 0..self.dim {
                rows.extend_from_slice(&self.columns[d * self.k + c].to_le_bytes());
            }
        }
        let scale: Vec<u8> = self.scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view =
            |shape, data| TensorView::new(Dtype::F32, shape, data).map_err(|e| fail(e.to_string()));
        let tensors = BTreeMap::from([
            ("centroids", view(vec![self.k, self.dim], &rows)?),
            ("scale", view(vec![self.dim], &scale)?),
        ]);
        let bytes = safetensors::serialize(tensors, None).map_err(|e| fail(e.to_string()))?;
        std::fs::write(path, bytes).map_err(|e| fail(e.to_string()))
    }

    /// Reads what [`KMeans::write`] wrote.
    ///
    /// # Errors
    /// If the file is missing or holds no such tensors.
    pub fn read(path: &Path) -> Result<Self, KMeansError> {
        let fail = |message: String| KMeansError::Read { path: path.to_owned(), message };
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fail(e.to_string()))?;
        let read = |name: &str| -> Result<(Vec<f32>, Vec<usize>), KMeansError> {
            let t = tensors.tensor(name).map_err(|e| fail(format!("'{name}': {e}")))?;
            if t.dtype() != Dtype::F32 {
                return Err(fail(format!("'{name}' is {:?}, expected F32", t.dtype())));
            }
            let values =
                t.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Ok((values, t.shape().to_vec()))
        };
        let (centroids, shape) = read("centroids")?;
        let (scale, _) = read("scale")?;
        match shape[..] {
            [k, dim] if (1..=65_535).contains(&k) && dim > 0 && scale.len() == dim => {
                Ok(Self::new(&centroids, dim, scale))
            }
            _ => Err(fail(format!("centroids of shape {shape:?} with a scale of {}", scale.len()))),
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn blobs(n: usize) -> Vec<f32> {
        let mut rng = Rng::new(3);
        let centres = [[0.0, 0.0, 5.0], [9.0, 0.0, -5.0], [0.0, 9.0, 0.0], [9.0, 9.0, 9.0]];
        (0..n).flat_map(|i| centres[i % 4].map(|c| (c + 0.3 * rng.normal()) as f32)).collect()
    }

    #[test]
    fn separate_blobs_are_found_and_the_file_reads_back() {
        let frames = blobs(4001);
        let config = KMeansConfig { k: 4, ..Default::default() };
        let model = KMeans::fit(&frames, 3, &config).unwrap();
        let labels = model.assign(&frames);
        for (i, l) in labels.iter().enumerate() {
            assert_eq!(*l, labels[i % 4]);
        }
        let mut kinds = labels[..4].to_vec();
        kinds.sort_unstable();
        assert_eq!(kinds, [0, 1, 2, 3]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        model.write(&path).unwrap();
        assert_eq!(KMeans::read(&path).unwrap(), model);
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let frames = blobs(20_000);
        let config = KMeansConfig { k: 50, rounds: 5, ..Default::default() };
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| KMeans::fit(&frames, 3, &config).unwrap())
        };
        assert_eq!(fit(1), fit(3));
    }

    #[test]
    fn a_label_is_a_function_of_its_frame_alone() {
        let frames = blobs(3000);
        let model = KMeans::fit(&frames, 3, &KMeansConfig { k: 37, ..Default::default() }).unwrap();
        let all = model.assign(&frames);
        for (i, frame) in frames.chunks_exact(3).enumerate() {
            assert_eq!(model.assign(frame), [all[i]]);
        }
    }

    #[test]
    fn too_few_and_broken_frames_are_errors() {
        let config = KMeansConfig { k: 4, ..Default::default() };
        assert!(matches!(
            KMeans::fit(&[0.0; 6], 3, &config),
            Err(KMeansError::TooFew { frames: 2, k: 4 })
        ));
        let mut frames = blobs(100);
        frames[7] = f32::NAN;
        assert!(matches!(KMeans::fit(&frames, 3, &config), Err(KMeansError::NotFinite(2))));
        // Fewer different frames than centroids: the rest lie on top of each other.
        assert_eq!(KMeans::fit(&[1.0; 30], 3, &config).unwrap().assign(&[1.0; 3]), [0]);
    }
}
