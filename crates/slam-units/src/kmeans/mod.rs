//! k-means: centroids and exact assignment. [Fitting](KMeans::fit) is ours; centroids of others are read
//! from scikit-learn's joblib files, `.npy` and safetensors.

mod files;
mod fit;
mod joblib;
mod npy;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Whether values are scaled to unit variance first, for features whose values differ in kind. The scale
    /// becomes part of the centroids.
    pub standardise: bool,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { k: 500, seed: 0, rounds: 30, max_frames: 200_000, standardise: false }
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
    #[error("failed to read centroids from {path}: {message}")]
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_dataset::rng::Rng;

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
