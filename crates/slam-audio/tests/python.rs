//! Every file of the fixtures that soundfile reads, against soundfile.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use slam_audio::decode_file;

#[test]
fn lossless_files_are_soundfiles_bits_and_lossy_ones_its_sound() {
    let Some(python) = slam_testing::python(&["soundfile"]) else { return };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = std::env::var_os("SLAM_FIXTURES")
        .map_or_else(|| here.join("../../tests/fixtures"), PathBuf::from);
    let mut files: Vec<_> = fs::read_dir(fixtures.join("audio"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| {
            let name = p.file_name().unwrap().to_string_lossy();
            !name.starts_with("bad_") && !name.ends_with(".safetensors")
        })
        .collect();
    files.sort();
    assert!(files.len() > 20, "{} files", files.len());
    let out = std::env::temp_dir().join(format!("slam-soundfile-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    let script = here.join("tests/soundfile_peer.py");
    let done = Command::new(&python).arg(script).arg(&out).args(&files).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let bytes = fs::read(out.join(format!("{name}.f32"))).unwrap();
        let theirs: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let ours = decode_file(path).unwrap();
        assert_eq!(ours.samples.len(), theirs.len(), "{name}");
        let worst =
            ours.samples.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {worst:.1e}");
        let lossy = name.ends_with(".mp3") || name.ends_with(".ogg");
        // Two decoders of one lossy stream differ by rounding, far below a step of 16 bits (3e-5).
        assert!(worst <= if lossy { 2e-5 } else { 0.0 }, "{name}: {worst:e}");
    }
    fs::remove_dir_all(out).unwrap();
}
