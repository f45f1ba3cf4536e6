//! Fitting against scikit-learn's `MiniBatchKMeans` on the same data (`SLAM_PYTHON`).
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use burn::tensor::Device;
use slam_dataset::rng::Rng;
use slam_units::kmeans::{KMeans, KMeansConfig};

const DIM: usize = 24;
const K: usize = 100;

/// Prints the mean squared distance of the frames of a file to the centroids that scikit-learn fits to them.
const PEER: &str = "
import sys
import numpy as np
from sklearn.cluster import MiniBatchKMeans
x = np.fromfile(sys.argv[1], dtype='<f4').reshape(-1, int(sys.argv[2]))
model = MiniBatchKMeans(int(sys.argv[3]), batch_size=10000, max_iter=100, max_no_improvement=100,
                        n_init=5, random_state=1).fit(x)
print(-model.score(x) / len(x))
";

/// Frames around many centres that overlap, as those of speech do: there is no right answer.
fn frames(n: usize) -> Vec<f32> {
    let mut rng = Rng::new(11);
    let centres: Vec<f64> = (0..3 * K * DIM).map(|_| rng.normal()).collect();
    let mut out = Vec::with_capacity(n * DIM);
    for _ in 0..n {
        // Some centres are far more frequent than others.
        let c = (rng.uniform() * rng.uniform() * (3 * K) as f64) as usize;
        out.extend((0..DIM).map(|d| (centres[c * DIM + d] + 0.7 * rng.normal()) as f32));
    }
    out
}

#[test]
fn the_inertia_is_within_two_percent_of_scikit_learns() {
    let Some(python) = slam_testing::python(&["sklearn"]) else { return };
    let frames = frames(20_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.f32");
    let bytes: Vec<u8> = frames.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new(python)
        .args(["-c", PEER])
        .arg(&path)
        .args([DIM.to_string(), K.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    for seed in [1, 2] {
        let config = KMeansConfig { k: K, seed, batch: 4000, ..Default::default() };
        let ours = KMeans::fit(&frames, DIM, &config, &Device::flex()).unwrap().inertia(&frames);
        println!("mean squared distance: ours {ours:.4} (seed {seed}), scikit-learn's {theirs:.4}");
        assert!(ours <= 1.02 * theirs, "{ours} against {theirs}");
    }
}
