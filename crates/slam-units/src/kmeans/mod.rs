//! k-means: centroids and exact assignment. [Fitting](KMeans::fit) is ours; centroids of others are read
//! from scikit-learn's joblib files, `.npy` and safetensors.

mod error;
mod files;
pub(crate) mod fit;
mod joblib;
mod matrix;
mod npy;

pub use error::{CentroidFault, JoblibFault, KMeansError, NpyFault};

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::ops::{Activation, FixedLinear};
use slam_recipe::Key;
pub use slam_recipe::tokeniser::KMeansConfig;

/// Frames whose nearness to all centroids is held at a time.
const BLOCK: usize = 2048;

/// Centroids, and the scale features have before they are compared with them.
#[derive(Clone, Debug)]
pub struct KMeans {
    dim: usize,
    k: usize,
    /// `[dim]`, multiplied with each frame.
    scale: Vec<f32>,
    /// `[k, dim]`, in scaled space.
    centroids: Vec<f32>,
    /// `x·c − |c|²/2` of a frame and each centroid: greatest for the nearest one.
    /// Made at the first use.
    nearness: OnceLock<FixedLinear>,
    /// Where that is computed.
    device: Device,
}

impl PartialEq for KMeans {
    fn eq(&self, other: &Self) -> bool {
        (self.dim, &self.scale, &self.centroids) == (other.dim, &other.scale, &other.centroids)
    }
}

impl KMeans {
    /// Centroids `[k, dim]` in scaled space, at least one.
    fn new(centroids: Vec<f32>, dim: usize, scale: Vec<f32>) -> Self {
        Self::on(&Device::flex(), centroids, dim, scale)
    }

    /// Centroids whose distances are computed on a device.
    fn on(device: &Device, centroids: Vec<f32>, dim: usize, scale: Vec<f32>) -> Self {
        let k = centroids.len() / dim;
        Self { dim, k, scale, centroids, nearness: OnceLock::new(), device: device.clone() }
    }

    fn nearness(&self) -> &FixedLinear {
        self.nearness.get_or_init(|| {
            let rows = self.centroids.chunks_exact(self.dim);
            let half_norms = rows
                .map(|row| (row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / -2.0) as f32)
                .collect();
            FixedLinear::new(self.centroids.clone(), self.dim, Some(half_norms), &self.device)
        })
    }

    /// How many centroids there are.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Values of a frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Names the centroids and the scale by their values: the same from whatever file they were read.
    pub fn key(&self) -> Key {
        let mut bytes = Vec::with_capacity(4 * (self.centroids.len() + self.dim) + 16);
        bytes.extend((self.k as u64).to_le_bytes());
        bytes.extend((self.dim as u64).to_le_bytes());
        let values = self.centroids.iter().chain(&self.scale);
        bytes.extend(values.flat_map(|v| v.to_le_bytes()));
        Key::of_bytes(&bytes)
    }

    /// The nearest centroid of each frame (the lowest of equals), and half the squared distance to it.
    fn nearest(&self, frames: &[f32]) -> Vec<(u16, f32)> {
        let scaled: Vec<f32> = frames
            .chunks_exact(self.dim)
            .flat_map(|frame| frame.iter().zip(&self.scale).map(|(x, s)| x * s))
            .collect();
        let norms: Vec<f32> = scaled
            .chunks_exact(self.dim)
            .map(|x| (x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 2.0) as f32)
            .collect();
        let rows = norms.len();
        if rows == 0 {
            return Vec::new();
        }
        // |x − c|²/2 = |x|²/2 + |c|²/2 − x·c; the first term is the same for every centroid.
        let x = Tensor::from_data(TensorData::new(scaled, [rows, self.dim]), &self.device);
        let nearness = self.nearness().forward(x, Activation::None).into_data();
        let nearness: Vec<f32> = nearness.iter::<f32>().collect();
        nearness
            .chunks_exact(self.k)
            .zip(norms)
            .map(|(row, norm)| {
                let mut best = 0;
                for (i, &value) in row.iter().enumerate() {
                    if value > row[best] {
                        best = i;
                    }
                }
                (best as u16, (norm - row[best]).max(0.0))
            })
            .collect()
    }

    /// The nearest centroid of each frame `[n, dim]`: a function of the frame alone.
    pub fn assign(&self, frames: &[f32]) -> Vec<u16> {
        frames
            .chunks(BLOCK * self.dim)
            .flat_map(|block| self.nearest(block))
            .map(|(label, _)| label)
            .collect()
    }

    /// The mean squared distance of frames to their centroids, in scaled space.
    pub fn inertia(&self, frames: &[f32]) -> f64 {
        let sum: f64 = frames
            .chunks(BLOCK * self.dim)
            .flat_map(|block| self.nearest(block))
            .map(|(_, half)| 2.0 * f64::from(half))
            .sum();
        sum / (frames.len() / self.dim).max(1) as f64
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
        let model = KMeans::fit(&frames, 3, &config, &Device::flex()).unwrap();
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
            pool.install(|| KMeans::fit(&frames, 3, &config, &Device::flex()).unwrap())
        };
        assert_eq!(fit(1), fit(3));
    }

    #[test]
    fn a_label_is_a_function_of_its_frame_alone() {
        let frames = blobs(3000);
        let model =
            KMeans::fit(&frames, 3, &KMeansConfig { k: 37, ..Default::default() }, &Device::flex())
                .unwrap();
        let all = model.assign(&frames);
        for (i, frame) in frames.chunks_exact(3).enumerate() {
            assert_eq!(model.assign(frame), [all[i]]);
        }
    }

    #[test]
    fn too_few_and_broken_frames_are_errors() {
        let config = KMeansConfig { k: 4, ..Default::default() };
        assert!(matches!(
            KMeans::fit(&[0.0; 6], 3, &config, &Device::flex()),
            Err(KMeansError::TooFew { frames: 2, k: 4 })
        ));
        let mut frames = blobs(100);
        frames[7] = f32::NAN;
        assert!(matches!(
            KMeans::fit(&frames, 3, &config, &Device::flex()),
            Err(KMeansError::NotFinite(2))
        ));
        // Fewer different frames than centroids: the rest lie on top of each other.
        assert_eq!(
            KMeans::fit(&[1.0; 30], 3, &config, &Device::flex()).unwrap().assign(&[1.0; 3]),
            [0]
        );
    }
}
