//! Tokenisers through the commands: centroids that are fitted, and a tokeniser of one's own in a TOML file.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use slam_tests::{run, workspace};

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder of a few recordings.
fn recordings(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in ["mono_pcm16.flac", "stereo_pcm16.flac", "mono_vorbis.ogg"] {
        let from = workspace().join("tests/fixtures/audio").join(name);
        fs::copy(from, folder.join(name)).unwrap();
    }
}

#[test]
fn centroids_are_fitted_on_a_folder_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let (input, data) = (dir.path().join("input"), dir.path().join("data"));
    recordings(&input);
    let out = dir.path().join("centroids.safetensors");
    let fit = |data: &Path, out: &Path| {
        let said = run(&[
            "units",
            "fit-kmeans",
            "--input",
            path(&input),
            "--k",
            "3",
            "--seed",
            "7",
            "--data",
            path(data),
            "--out",
            path(out),
        ])
        .unwrap();
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stdout.contains("3 centroids"), "{}", said.stdout);
        fs::read(out).unwrap()
    };
    let first = fit(&data, &out);
    let elsewhere = dir.path().join("elsewhere");
    assert_eq!(fit(&elsewhere, &dir.path().join("again.safetensors")), first);
    let said =
        run(&["units", "fit-kmeans", "--dataset", "nonesuch", "--data", path(&data)]).unwrap();
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("nonesuch") && said.stderr.contains("demo-stories"), "{said:?}");
}

#[test]
fn a_tokeniser_of_ones_own_is_a_toml_file_whose_files_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (input, data) = (dir.path().join("input"), dir.path().join("data"));
    recordings(&input);
    let fixtures = workspace().join("tests/fixtures");
    let centroids = dir.path().join("centroids.bin");
    fs::copy(fixtures.join("kmeans/kmeans_f32.bin"), &centroids).unwrap();
    let own = dir.path().join("own.toml");
    let write = |sha256: &str| {
        let text = format!(
            "name = \"own\"\nfeatures = {{ kind = \"hubert\", layer = 2 }}\ncheckpoint = {:?}\n\
             centroids = {centroids:?}\n[origin]\ncentroids_url = \"https://example.org/c.bin\"\n\
             centroids_sha256 = \"{sha256}\"\n",
            fixtures.join("hubert-group-norm"),
        );
        fs::write(&own, text).unwrap();
    };
    let pipeline = dir.path().join("pipeline.toml");
    fs::write(&pipeline, format!("name = \"t\"\n[tokeniser]\npreset = {own:?}\n")).unwrap();
    let prepare = || {
        run(&[
            "prepare-data",
            "--pipeline",
            path(&pipeline),
            "--input",
            path(&input),
            "--data",
            path(&data),
        ])
        .unwrap()
    };
    write(&"0".repeat(64));
    let said = prepare();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr.contains("https://example.org/c.bin") && said.stderr.contains("'own'"),
        "{}",
        said.stderr
    );
    // What the message says was found is what the file has.
    let found = said.stderr.split("SHA-256 ").nth(1).unwrap()[..64].to_owned();
    write(&found);
    let said = prepare();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(data.join("input/unitise-v2/own/part-00000-of-00001.parquet").is_file());
    fs::remove_file(&centroids).unwrap();
    let said = prepare();
    assert!(said.code == Some(1) && said.stderr.contains("curl"), "{said:?}");
}
