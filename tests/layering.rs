//! The layering of ARCHITECTURE.md, held over `cargo metadata`: dependencies point down only, and the
//! crates that must build in seconds know nothing of tensors and audio.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Layers from the bottom; a crate may depend on layers below its own.
const LAYERS: [&[&str]; 9] = [
    &["slam-arrow", "slam-interrupt", "slam-recipe"],
    &["slam-dataset", "slam-nn"],
    &["slam-audio", "slam-lm"],
    &["slam-corpus", "slam-units", "slam-train", "slam-preference", "slam-eval"],
    &["slam-pipeline", "slam-executor", "slam-predict"],
    &["slam-commands"],
    &["slam-worker"],
    &["slam"],
    &["xtask"],
];

/// Crates outside the layers: programs of their own, and build plumbing that holds no code.
const OUTSIDE: [&str; 4] = ["slam-speak", "slam-testing", "slam-tests", "workspace-hack"];

/// What a crate must not know, directly or not.
const MUST_NOT_KNOW: [(&str, &[&str]); 8] = [
    ("xtask", &["burn", "symphonia", "arrow", "parquet", "slam-audio", "slam-nn", "slam-worker"]),
    ("slam-commands", &["burn", "symphonia", "arrow", "parquet", "slam-audio", "slam-nn"]),
    ("slam-recipe", &["burn", "symphonia", "arrow", "parquet", "object_store"]),
    ("slam-pipeline", &["burn", "symphonia", "arrow", "slam-audio", "slam-nn", "slam-executor"]),
    ("slam-executor", &["slam-pipeline", "burn", "arrow"]),
    ("slam-worker", &["slam-pipeline", "slam-commands", "slam-executor"]),
    ("slam-audio", &["slam-recipe", "slam-dataset", "slam-pipeline"]),
    ("slam-lm", &["slam-dataset", "slam-pipeline"]),
];

fn metadata() -> Value {
    let version = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
    // Only what this machine builds has been downloaded.
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Normal dependencies of every workspace crate, as its manifest states them.
fn direct(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap())
        .collect();
    let mut out = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        let needs = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|d| d["kind"].is_null())
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect();
        out.insert(package["name"].as_str().unwrap().to_owned(), needs);
    }
    out
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&name))
}

#[test]
fn every_crate_has_a_layer_and_arrows_point_down() {
    let direct = direct(&metadata());
    for (name, needs) in &direct {
        let Some(mine) = layer(name) else {
            assert!(OUTSIDE.contains(&name.as_str()), "crate {name} is in no layer");
            continue;
        };
        for need in needs.iter().filter(|n| direct.contains_key(*n)) {
            match layer(need) {
                Some(theirs) => assert!(theirs < mine, "{name} must not depend on {need}"),
                None => assert_eq!(need, "workspace-hack", "{name} must not depend on {need}"),
            }
        }
    }
}

#[test]
fn nothing_links_the_speech_program() {
    let direct = direct(&metadata());
    for (name, needs) in &direct {
        assert!(!needs.contains("slam-speak"), "{name} links a GPL program");
        assert!(name == "slam-speak" || !needs.contains("espeak-ng"), "{name} links a GPL library");
    }
}

#[test]
fn crates_do_not_know_what_they_must_not() {
    for (name, forbidden) in MUST_NOT_KNOW {
        let out = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "-e",
                "normal",
                "--prefix",
                "none",
                "-f",
                "{p}",
                "-p",
                name,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let known: BTreeSet<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
        for crate_name in forbidden {
            assert!(!known.contains(crate_name), "{name} knows {crate_name}");
        }
    }
}

/// What a package selection makes cargo resolve: `name version|features` of every dependency.
fn features(selection: &[&str]) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "-f", "{p}|{f}"])
        .args(selection)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|l| l.replace(" (*)", "").replace(" (proc-macro)", ""))
        .filter(|l| !l.is_empty())
        .collect()
}

#[test]
fn the_worker_and_the_tests_share_every_compiled_dependency() {
    let workspace = features(&["--workspace", "-e", "normal,build,dev"]);
    for package in ["slam", "slam-worker", "slam-nn", "slam-units"] {
        let alone = features(&["-p", package, "-e", "normal,build"]);
        // The workspace's own crates are built twice in a minute; what they share is not.
        let shared = |l: &&String| !l.contains("(/");
        let different: Vec<_> = alone.difference(&workspace).filter(shared).collect();
        assert!(
            different.is_empty(),
            "-p {package} resolves other features than the workspace; add them to workspace-hack: {different:?}"
        );
    }
}

#[test]
fn with_every_device_they_share_the_workspaces_crates_too() {
    let devices = "slam/cuda,slam/wgpu";
    let workspace = features(&["--workspace", "--features", devices, "-e", "normal,build,dev"]);
    let programs = ["-p", "xtask", "-p", "slam", "-p", "slam-speak", "--features", devices];
    for selection in [&["-p", "slam", "--features", "cuda,wgpu"][..], &programs] {
        let alone = features(&[selection, &["-e", "normal,build"]].concat());
        let different: Vec<_> = alone.difference(&workspace).collect();
        assert!(different.is_empty(), "{selection:?} resolves other features: {different:?}");
    }
}
