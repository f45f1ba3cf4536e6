#![allow(clippy::unwrap_used)]
use super::*;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

#[test]
fn a_torch_bin_equals_its_safetensors() {
    let new = Weights::open(fixtures().join("hubert-group-norm")).unwrap();
    let old = Weights::open(fixtures().join("hubert-old-keys")).unwrap();
    let mut same = 0;
    for name in old.names() {
        let twin = name
            .replace("weight_g", "parametrizations.weight.original0")
            .replace("weight_v", "parametrizations.weight.original1");
        assert_eq!(old.tensor_f32(name).unwrap(), new.tensor_f32(&twin).unwrap(), "{name}");
        same += 1;
    }
    assert_eq!(same, new.names().count());
}

#[test]
fn a_cut_torch_bin_is_an_error_at_every_length() {
    let bytes = std::fs::read(fixtures().join("hubert-old-keys/pytorch_model.bin")).unwrap();
    for n in (0..bytes.len()).step_by(997) {
        assert!(torch_bin::entries(&bytes[..n], 0).is_err());
    }
    // Damage anywhere must give an error or tensors inside the file, never a panic.
    for n in (0..bytes.len()).step_by(61) {
        let mut bytes = bytes.clone();
        bytes[n] ^= 0xff;
        let _ = torch_bin::entries(&bytes, 0);
    }
}

#[test]
fn written_safetensors_read_back_and_are_the_same_bytes() {
    let path = std::env::temp_dir().join(format!("weights-{}.safetensors", std::process::id()));
    let shapes = vec![("b".to_owned(), vec![2, 3]), ("a".to_owned(), vec![1])];
    let mut values =
        |name: &str| if name == "a" { vec![7.0] } else { vec![1., 2., 3., 4., 5., 6.] };
    write_safetensors(&path, &shapes, &mut values).unwrap();
    let first = std::fs::read(&path).unwrap();
    let weights = Weights::open(&path).unwrap();
    assert_eq!(weights.tensor_f32("b").unwrap(), (vec![1., 2., 3., 4., 5., 6.], vec![2, 3]));
    let error = weights.tensor_f32("c").unwrap_err().to_string();
    assert!(error.contains("`c`") && error.contains(".safetensors"), "{error}");
    let error = weights.tensor_shaped("a", &[2]).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    write_safetensors(&path, &shapes, &mut values).unwrap();
    assert_eq!(first, std::fs::read(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
}
