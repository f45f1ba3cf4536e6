//! k-means files of scikit-learn: the same centroids, the same labels; hostile ones are errors.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use slam_nn::weights::Weights;
use slam_units::kmeans::KMeans;

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

fn read(name: &str) -> KMeans {
    KMeans::read(&fixtures().join("kmeans").join(name)).unwrap()
}

#[test]
fn labels_of_joblib_and_npy_files_equal_scikit_learns() {
    let expected = fixtures().join("hubert-group-norm/expected.safetensors");
    let (frames, shape) = Weights::open(&expected).unwrap().tensor_f32("wav0.hidden2").unwrap();
    for name in ["kmeans_f32", "minibatch_f32", "kmeans_f64"] {
        let labels = fixtures().join(format!("kmeans/{name}.labels_wav0_hidden2.json"));
        let labels: Vec<u16> = serde_json::from_slice(&fs::read(labels).unwrap()).unwrap();
        assert_eq!(labels.len(), shape[0]);
        for file in [format!("{name}.bin"), format!("{name}.centroids.npy")] {
            assert_eq!(read(&file).assign(&frames), labels, "{file}");
        }
    }
}

#[test]
fn a_compressed_file_holds_the_same_centroids() {
    assert_eq!(read("kmeans_zlib.bin"), read("kmeans_f32.centroids.npy"));
    assert_eq!(read("kmeans_f32.bin"), read("kmeans_f32.centroids.npy"));
}

#[test]
fn every_cut_of_every_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut");
    for name in ["kmeans_f32.bin", "kmeans_zlib.bin", "kmeans_f64.centroids.npy"] {
        let whole = fs::read(fixtures().join("kmeans").join(name)).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            // What follows the centroids may be cut off; what is read must then be right.
            if let Ok(model) = KMeans::read(&path) {
                assert_eq!(model, read(name), "{name} cut to {cut} bytes");
            }
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flipped");
    for name in ["kmeans_f32.bin", "minibatch_f32.bin", "kmeans_f32.centroids.npy"] {
        let whole = fs::read(fixtures().join("kmeans").join(name)).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= [1, 0x80, 0xff][at % 3];
            fs::write(&path, &bytes).unwrap();
            let _ = KMeans::read(&path);
        }
    }
}

/// A pickle of protocol 2 from opcodes.
fn pickle(opcodes: &[u8]) -> Vec<u8> {
    [b"\x80\x02", opcodes].concat()
}

#[test]
fn hostile_files_are_errors_and_nothing_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("was-run");
    let call = format!("cos\nsystem\n(S'touch {}'\ntR.", marker.display());
    let mut bomb = b"]".to_vec();
    bomb.extend(std::iter::repeat_n(b"2".as_slice(), 3 << 20).flatten());
    bomb.extend(b"l.");
    // A wrapper whose array has 2^40 rows of 2^40 values.
    let huge = [
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\0\0\0shape".as_slice(),
        b"\x8a\x06\0\0\0\0\0\x01\x8a\x06\0\0\0\0\0\x01\x86X\x05\0\0\0orderX\x01\0\0\0C",
        b"X\x05\0\0\0dtypecnumpy\ndtype\nX\x02\0\0\0f4\x85Rub.",
    ]
    .concat();
    let wide_npy = {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }\n";
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
    };
    for (name, bytes, says) in [
        ("a call", pickle(call.as_bytes()), "no scikit-learn model"),
        ("a memo bomb", pickle(&bomb), "values"),
        ("a huge array", pickle(&huge), "overflows"),
        ("a wide .npy", wide_npy, "cut off"),
        ("another class", pickle(b"cos\nPathLike\n)\x81}b."), "PathLike"),
        ("an empty file", vec![], "neither"),
        ("text", b"centroids".to_vec(), "neither"),
    ] {
        let path = dir.path().join("hostile");
        fs::write(&path, &bytes).unwrap();
        let error = KMeans::read(&path).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("hostile"), "{name}: {error}");
    }
    assert!(!marker.exists(), "the pickle's call was made");
}
