//! The whole chain, through the command that people start with.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use slam_tests::Demo;

#[test]
fn the_chain_runs_from_stories_to_a_report() {
    let demo = Demo::finished();
    let said = &demo.said.stdout;
    for suite in ["lexical", "syntactic", "cloze"] {
        assert!(
            said.lines().any(|l| l.starts_with(suite) && l.matches('%').count() == 4),
            "{said}"
        );
    }
    for label in ["before training", "after pre-training", "after DPO", "chance", "mean nothing"] {
        assert!(said.contains(label), "no '{label}' in {said}");
    }
    // The paired difference of each suite, of pre-training and of DPO.
    let changes = said.split("\nchange ").nth(1).unwrap();
    for suite in ["lexical", "syntactic", "cloze"] {
        let line = changes.lines().find(|l| l.starts_with(suite)).unwrap();
        assert_eq!(line.matches(", ").count(), 2, "{line}");
    }
    for stage in ["ingest-v2", "unitise-v2/mfcc-25hz"] {
        let shard =
            demo.data().join("demo-stories").join(stage).join("part-00002-of-00003.parquet");
        assert!(shard.is_file(), "{}", shard.display());
        assert!(shard.with_extension("json").is_file(), "{} has no receipt", shard.display());
    }
}

#[test]
fn the_report_stands_alone() {
    let html = fs::read_to_string(Demo::finished().run().join("report.html")).unwrap();
    assert!(html.contains("its scores mean nothing"));
    assert_eq!(html.matches("<audio").count(), 12, "two items of three suites, two sides each");
    assert!(html.contains("<polyline") && html.contains("Slam scaled"));
    for outside in ["http://", "https://", "<script src", "<link"] {
        assert!(!html.contains(outside), "the report reaches for {outside}");
    }
}

#[test]
fn the_model_learns_from_what_it_reads() {
    let text = fs::read_to_string(Demo::finished().run().join("pretrain/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["loss"].as_f64().unwrap())
        .collect();
    let (first, last) = (losses[0], *losses.last().unwrap());
    assert!(last < first - 0.5, "loss {first} at first, {last} at last");
}

/// Every shard below a folder with its content: neither receipts, which hold wall time, nor the side files with
/// reference log-probabilities, which training leaves.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(f) = folders.pop() {
        for entry in fs::read_dir(f).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let shard = path.extension().is_some_and(|e| e == "parquet" || e == "safetensors");
            if shard && !name.contains(".reference-") {
                out.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    out
}

/// Names what differs; the bytes themselves would fill the terminal.
fn assert_same(made: &Path, expected: &Path, what: &str) {
    let (made, expected) = (contents(made), contents(expected));
    let names = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&expected), "{what}");
    let differ: Vec<_> = made.iter().filter(|(name, bytes)| expected[*name] != **bytes).collect();
    assert!(differ.is_empty(), "{what}: {:?}", differ.iter().map(|d| d.0).collect::<Vec<_>>());
}

#[test]
fn a_second_run_does_nothing_but_say_so() {
    let demo = Demo::finished().copy().unwrap();
    // The copy lies elsewhere; where data and runs lie must not count.
    let said = demo.again(&[]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("nothing to do"), "{}", said.stdout);
    assert_same(&demo.data(), &Demo::finished().data(), "the data");
}

#[test]
fn a_deleted_shard_alone_is_made_again_byte_for_byte() {
    for lost in [
        "demo-stories/ingest-v2/part-00001-of-00003.parquet",
        "demo-preference/unitise-v2/mfcc-25hz/part-00001-of-00002.parquet",
        "demo-cloze/benchmark-v2/mfcc-25hz/part-00000-of-00001.parquet",
    ] {
        let demo = Demo::finished().copy().unwrap();
        fs::remove_file(demo.data().join(lost)).unwrap();
        let said = demo.again(&[]).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(
            said.stdout.contains("done in") && said.stdout.contains("1 shards made"),
            "{}",
            said.stdout
        );
        assert_same(&demo.data(), &Demo::finished().data(), lost);
    }
}

#[test]
fn one_job_makes_the_same_bytes_as_two() {
    let demo = Demo::finished().copy().unwrap();
    fs::remove_dir_all(demo.data()).unwrap();
    let said = demo.again(&["--jobs", "1"]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_same(&demo.data(), &Demo::finished().data(), "the data");
}

#[test]
fn a_run_can_be_scored_and_reported_again() {
    let demo = Demo::finished().copy().unwrap();
    fs::remove_file(demo.run().join("report.html")).unwrap();
    let run = demo.run().display().to_string();
    let said = slam_tests::run(&["evaluate", &run, "--convention", "slm-scaling"]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("convention slm-scaling"), "{}", said.stdout);
    assert!(demo.run().join("report.html").is_file());
}
