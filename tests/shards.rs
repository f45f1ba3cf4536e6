//! Shards as an engineer sees them: one alone, their state and who made them, their rows, what was left out.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::Value;
use slam_tests::Said;
use slam_tests::tiny::{Tiny, tree, wav};

fn say(command: &mut Command) -> Said {
    command.output().unwrap().into()
}

fn done(command: &mut Command) -> Said {
    let said = say(command);
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

fn lines(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn one_shard_alone_has_the_bytes_of_the_full_run() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 30).unwrap();
    let (full, alone) = (dir.path().join("full"), dir.path().join("alone"));
    done(&mut tiny.command(&full, &["prepare-data"]));
    let full = tree(&full);
    assert_eq!(full.keys().filter(|k| k.ends_with("-of-00006.parquet")).count(), 12, "{full:?}");
    // As on another machine: nothing there, two shards asked for; what they need is made first.
    let choice = ["prepare-data", "--dataset", "tiny", "--stage", "unitise", "--shards", "1,4-5"];
    let said = done(&mut tiny.command(&alone, &choice));
    assert!(said.stderr.contains("needed as inputs"), "{}", said.stderr);
    assert!(said.stdout.starts_with("8 shards made"), "{}", said.stdout);
    let mut alone = tree(&alone);
    // The lock also names what is planned and not made.
    assert!(alone.remove("slam.lock").is_some());
    // Three of unitise, their corpus shards, the one that k-means is fitted on, the centroids; receipts.
    assert_eq!(alone.len(), 16, "{:?}", alone.keys());
    for (name, bytes) in alone {
        assert_eq!(full.get(&name), Some(&bytes), "{name}");
    }
}

#[test]
fn status_tells_done_missing_and_stale_why_and_who() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 15).unwrap();
    let data = dir.path().join("data");
    done(&mut tiny.command(&data, &["prepare-data"]));
    let status = |more: &[&str]| {
        let arguments = [&["shards", "status", "tiny"], more].concat();
        done(&mut tiny.command(&data, &arguments)).stdout
    };
    let said = status(&[]);
    assert!(said.contains("tiny ingest: 3 done, 0 missing, 0 stale, 0 broken; made by"), "{said}");
    assert!(
        said.contains("(slam ") && said.contains(", cpu)") && said.contains("the last at 20"),
        "{said}"
    );
    // A recording changes, a parameter changes, a shard goes.
    fs::write(tiny.input.join("0007.wav"), wav(99)).unwrap();
    fs::remove_file(data.join("tiny/ingest-v2/part-00002-of-00003.parquet")).unwrap();
    let said = status(&["--set", "tokeniser.features.filters=21"]);
    assert!(said.contains("tiny ingest: 1 done, 1 missing, 1 stale, 0 broken"), "{said}");
    let line = |name: &str| said.lines().find(|l| l.contains(name)).unwrap().to_owned();
    assert!(line("ingest-v2/part-00001").contains("stale: its inputs changed; made by"), "{said}");
    let units = line("unitise-v2/mfcc/part-00001");
    assert!(units.contains("its parameters changed, its inputs changed"), "{said}");
    let json =
        tiny.command(&data, &["shards", "status", "tiny", "--json"]).output().unwrap().into();
    let states: Vec<_> = lines(&json).iter().map(|l| l["state"].clone()).collect();
    assert_eq!(states[..3], ["done", "stale", "missing"]);
    assert!(lines(&json)[0]["receipt"]["finished_at"].as_u64() > Some(1_600_000_000));
    // Rebuilding makes it whole, and verify agrees.
    done(&mut tiny.command(&data, &["shards", "rebuild", "tiny"]));
    assert!(status(&[]).contains("tiny unitise: 3 done"));
    let said =
        done(&mut slam_tests::xtask(&["shards", "verify", "--data", data.to_str().unwrap()]));
    assert_eq!(said.stdout, "7 good, 0 bad\n");
}

#[test]
fn a_reader_that_leaves_ends_a_listing_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 5).unwrap();
    let data = dir.path().join("data");
    done(&mut tiny.command(&data, &["prepare-data", "--stage", "ingest"]));
    let mut command = slam_tests::xtask(&["shards", "list", "--data"]);
    // The reader is gone before the program starts, so before the first line.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    command.arg(&data).stdout(writer).stderr(Stdio::piped());
    let said: Said = command.spawn().unwrap().wait_with_output().unwrap().into();
    assert_eq!((said.code, said.stderr.as_str()), (None, ""));
}

#[test]
fn verify_names_every_bad_shard() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 20).unwrap();
    let data = dir.path().join("data");
    done(&mut tiny.command(&data, &["prepare-data", "--stage", "ingest"]));
    let shard =
        |i: u32, ending: &str| data.join(format!("tiny/ingest-v2/part-{i:05}-of-00004.{ending}"));
    let mut bytes = fs::read(shard(0, "parquet")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(shard(0, "parquet"), bytes).unwrap();
    fs::remove_file(shard(1, "parquet")).unwrap();
    fs::remove_file(shard(2, "json")).unwrap();
    let said = say(&mut slam_tests::xtask(&[
        "shards",
        "verify",
        "tiny",
        "--data",
        data.to_str().unwrap(),
    ]));
    assert_eq!(said.code, Some(1));
    for (shard, why) in
        [("00000-of", "bytes are not"), ("00001-of", "the file is not"), ("00002-of", "no receipt")]
    {
        assert!(
            said.stdout.lines().any(|l| l.contains(shard) && l.contains(why)),
            "{}",
            said.stdout
        );
    }
    assert!(said.stdout.contains("1 good, 3 bad"), "{}", said.stdout);
}

/// Five recordings that are none, each in its own way.
fn break_five(input: &Path) -> Vec<String> {
    let good = wav(0);
    let mut no_rate = good.clone();
    no_rate[24..28].fill(0);
    let broken: [(&str, &[u8]); 5] = [
        ("0040.wav", b""),
        ("0123.wav", b"RIFF nothing of the kind"),
        ("0200.wav", &good[..20]),
        ("0377.wav", &no_rate),
        ("0499.wav", b"<html>404 Not Found</html>"),
    ];
    broken
        .map(|(name, bytes)| {
            fs::write(input.join(name), bytes).unwrap();
            name.to_owned()
        })
        .to_vec()
}

#[test]
fn five_broken_files_among_500_cost_nothing_else_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 500).unwrap();
    let broken = break_five(&tiny.input);
    let data = dir.path().join("data");
    let set = ["--set", "datasets.tiny.shard_bytes=800000"];
    // Five of 500 are 1 %: within the limit.
    let said = done(&mut tiny.command(&data, &[&["prepare-data"][..], &set].concat()));
    assert!(
        said.stderr.contains("495 rows") && said.stderr.contains("5 inputs quarantined"),
        "{}",
        said.stderr
    );
    let show = |more: &[&str]| {
        let mut command = slam_tests::xtask(&["shards", "show", "tiny", "--data"]);
        done(command.arg(&data).args(more))
    };
    let mut found = Vec::new();
    for row in lines(&show(&["--quarantine", "--json"])) {
        assert_eq!(row["stage"], "ingest");
        assert!(row["error"].as_str().unwrap().len() > 10, "{row}");
        assert!(row["source"].as_str().unwrap().ends_with(row["id"].as_str().unwrap()), "{row}");
        found.push(row["id"].as_str().unwrap().to_owned());
    }
    found.sort();
    assert_eq!(found, broken);
    let table = show(&["--quarantine"]).stdout;
    assert!(table.starts_with("stage") && broken.iter().all(|b| table.contains(b)), "{table}");
    // Rows of a shard, as a table and as JSON.
    let rows = lines(&show(&["--shard", "0", "--from", "3", "--rows", "2", "--json"]));
    assert_eq!(
        rows.iter().map(|r| r["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["0003.wav", "0004.wav"]
    );
    assert_eq!(rows[0]["num_samples"], 4000);
    let table = show(&["--stage", "unitise"]).stdout;
    assert!(table.starts_with("id") && table.contains("0000.wav"), "{table}");
    // A limit below that stops, with the first files.
    let strict = [&["prepare-data", "--max-bad-fraction", "0.009"][..], &set].concat();
    let said = say(&mut tiny.command(&data, &strict));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.stderr.contains("5 of 500 inputs (1.0 %)") && said.stderr.contains("0040.wav: "),
        "{}",
        said.stderr
    );
}

#[test]
fn a_run_that_is_mostly_broken_is_stopped_early() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 60).unwrap();
    for i in 0..30 {
        fs::write(tiny.input.join(format!("{i:04}.wav")), b"no sound").unwrap();
    }
    let data = dir.path().join("data");
    let said = say(&mut tiny.command(&data, &["prepare-data", "--jobs", "1"]));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("stopped after 1 of 6 shards"), "{}", said.stderr);
    assert!(said.stderr.contains("0000.wav: "), "{}", said.stderr);
    assert!(tree(&data).keys().all(|k| !k.contains("unitise")), "went on");
}
