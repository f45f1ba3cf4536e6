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

#[test]
fn what_is_wrong_with_a_file_is_a_type_and_its_text_names_the_file() {
    let folder = std::env::temp_dir().join(format!("broken-weights-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let fault = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::open(&path).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("download or export"), "{text}");
        match error {
            WeightsError::Damaged { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(fault("a.safetensors", b"no tensors"), FileFault::Safetensors(_)));
    assert!(matches!(fault("a.bin", b"PK\x03\x04"), FileFault::Zip { at: 4 }));
    let empty_archive = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    assert!(matches!(fault("b.bin", &empty_archive), FileFault::NoPickle));
    assert!(matches!(fault("a.index.json", b"{"), FileFault::Json(_)));
    assert!(matches!(fault("b.index.json", b"{}"), FileFault::NoWeightMap));
    let outside = br#"{"weight_map": {"w": "../w.safetensors"}}"#;
    assert!(matches!(
        fault("c.index.json", outside),
        FileFault::OutsideFolder { shard } if shard == "../w.safetensors"
    ));
    let shapes = [("w".to_owned(), vec![1])];
    for shard in ["1.safetensors", "2.safetensors"] {
        write_safetensors(&folder.join(shard), &shapes, &mut |_| vec![1.0]).unwrap();
    }
    let elsewhere = br#"{"weight_map": {"w": "1.safetensors", "v": "1.safetensors"}}"#;
    assert!(matches!(
        fault("d.index.json", elsewhere),
        FileFault::InNoShard { tensor } if tensor == "v"
    ));
    std::fs::write(
        folder.join("e.index.json"),
        br#"{"weight_map": {"w": "1.safetensors", "v": "2.safetensors"}}"#,
    )
    .unwrap();
    let error = Weights::open(folder.join("e.index.json")).unwrap_err();
    assert!(matches!(
        &error,
        WeightsError::Damaged { path, source: FileFault::Twice { tensor } }
            if path.ends_with("2.safetensors") && tensor == "w"
    ));
    let weights = Weights::open(folder.join("1.safetensors")).unwrap();
    assert!(matches!(
        weights.tensor_i64("w"),
        Err(WeightsError::NotIntegers { found: Element::F32, .. })
    ));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_pickles_error_says_at_which_byte_it_is() {
    use pickle::{Pickle, PickleError, Plain};
    for (bytes, expected) in [
        (b"\x80\x02K".as_slice(), PickleError::CutOff { at: 3 }),
        (b"\x80\x09.", PickleError::Protocol(9)),
        (b"\x80\x02\xff.", PickleError::Opcode { opcode: 0xff, at: 2 }),
        (b"\x80\x02.", PickleError::Stack { at: 3 }),
        (b"\x80\x02t.", PickleError::Mark { at: 3 }),
        (b"(Nd.", PickleError::Key { at: 3 }),
        (b"NNa.", PickleError::List { at: 3 }),
        (b"NNNs.", PickleError::Dict { at: 4 }),
        (b"h\x07.", PickleError::Memo { index: 7, at: 2 }),
        (b"I1x\n.", PickleError::Number { at: 4 }),
        (b"NN\x93.", PickleError::Global { at: 3 }),
    ] {
        assert_eq!(Pickle::read(bytes, &mut Plain).unwrap_err(), expected, "{bytes:?}");
    }
}
