//! Public data: from a folder, from a server, and what is said where neither is there.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use slam_tests::{Said, workspace, xtask};

/// `prepare-data` of a dataset's corpus shards, run in a folder of its own.
fn prepare(folder: &Path, dataset: &str, more: &[&str], variables: &[(&str, &str)]) -> Said {
    let arguments = ["prepare-data", "--dataset", dataset, "--stage", "ingest", "--data", "data"];
    let mut command = xtask(&arguments);
    command.args(more).current_dir(folder);
    command.env("HF_HOME", folder.join("hf")).envs(variables.iter().copied());
    command.output().unwrap().into()
}

fn recording() -> Vec<u8> {
    fs::read(workspace().join("tests/fixtures/audio/mono_pcm16.flac")).unwrap()
}

/// A small LibriSpeech in its public layout.
fn librispeech(folder: &Path) {
    for (part, n) in [("train-clean-100", 3), ("dev-clean", 1), ("test-clean", 1)] {
        let chapter = folder.join(part).join("19/198");
        fs::create_dir_all(&chapter).unwrap();
        let mut text = String::new();
        for i in 0..n {
            fs::write(chapter.join(format!("19-198-{part}-{i}.flac")), recording()).unwrap();
            writeln!(text, "19-198-{part}-{i} SOME WORDS").unwrap();
        }
        fs::write(chapter.join("19-198.trans.txt"), text).unwrap();
    }
}

fn shard(folder: &Path, dataset: &str) -> PathBuf {
    folder.join("data").join(dataset).join("ingest-v2/part-00000-of-00001.parquet")
}

fn rows(shard: &Path) -> u64 {
    let receipt: Value =
        serde_json::from_slice(&fs::read(shard.with_extension("json")).unwrap()).unwrap();
    receipt["rows"].as_u64().unwrap()
}

#[test]
fn a_public_set_is_named_by_its_manifest_and_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("LS");
    librispeech(&folder);
    let source = format!("librispeech={}", folder.display());
    let said = prepare(dir.path(), "librispeech", &["--source", &source], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // Without the test parts.
    assert_eq!(rows(&shard(dir.path(), "librispeech")), 4);
    let said = prepare(dir.path(), "librispeech", &["--source", "librispeech"], &[]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn offline_it_says_what_to_put_where() {
    let dir = tempfile::tempdir().unwrap();
    let said = prepare(dir.path(), "librispeech", &["--offline"], &[]);
    assert_eq!(said.code, Some(1));
    for named in [
        "corpora/LibriSpeech",
        "https://www.openslr.org/resources/12/train-clean-100.tar.gz",
        "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        "--strip-components=1",
        "CC BY 4.0",
        "--source librispeech=DIR",
    ] {
        assert!(said.stderr.contains(named), "{named}: {}", said.stderr);
    }
    let said = prepare(dir.path(), "salmon", &[], &[]);
    assert!(said.stderr.contains("sample_<i>_"), "{}", said.stderr);
    // A server that is not there is no other case.
    let said = prepare(dir.path(), "spokenswag", &[], &[("HF_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(said.code, Some(1));
    for named in ["check the connection", "hf download slprl/SpokenSwag", "--source spokenswag=DIR"]
    {
        assert!(said.stderr.contains(named), "{named}: {}", said.stderr);
    }
}

/// A hub with one file of one repository, which asks for a token.
fn hub(repository: &'static str, name: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
            let path = head.split(' ').nth(1).unwrap_or_default();
            let list = json!([{"type": "file", "path": name, "size": body.len(), "oid": "x"}]);
            let (status, body) = if !head.to_lowercase().contains("authorization: bearer hf_test") {
                (401, Vec::new())
            } else if path == format!("/api/datasets/{repository}/tree/main?recursive=true") {
                (200, list.to_string().into_bytes())
            } else if path == format!("/datasets/{repository}/resolve/main/{name}") {
                (200, body.clone())
            } else {
                (404, Vec::new())
            };
            let mut stream = stream;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[test]
fn a_repository_of_the_hub_is_fetched_and_becomes_shards() {
    let dir = tempfile::tempdir().unwrap();
    librispeech(&dir.path().join("LS"));
    let said = prepare(dir.path(), "librispeech", &["--source", "librispeech=LS"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A corpus shard is a Parquet file with an Audio column, as sTinyStories' are.
    let body = fs::read(shard(dir.path(), "librispeech")).unwrap();
    let name = "data/data-00000-of-02191.parquet";
    let url = hub("slprl/sTinyStories", name, body);
    let said = prepare(dir.path(), "stinystories", &[], &[("HF_ENDPOINT", &url)]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("set HF_TOKEN"), "{}", said.stderr);
    let variables = [("HF_ENDPOINT", url.as_str()), ("HF_TOKEN", "hf_test")];
    let said = prepare(dir.path(), "stinystories", &[], &variables);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(dir.path().join("corpora/stinystories").join(name).is_file());
    assert_eq!(rows(&shard(dir.path(), "stinystories")), 4);
    // What is there is not asked for again.
    let said = prepare(dir.path(), "stinystories", &["--offline"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("1 were up to date"), "{}", said.stdout);
}

#[test]
fn recordings_are_named_by_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.flac"), recording()).unwrap();
    let text = "path\tid\ttext\na.flac\tfirst\tone\ngone.flac\tsecond\ttwo\n";
    fs::write(dir.path().join("m.tsv"), text).unwrap();
    let pipeline = fs::read_to_string(workspace().join("pipelines/demo.toml")).unwrap();
    let grammar = "source = { kind = \"grammar\", part = \"stories\", seed = 1 }";
    let manifest = "source = { kind = \"manifest\", file = \"m.tsv\" }";
    assert!(pipeline.contains(grammar));
    fs::write(dir.path().join("p.toml"), pipeline.replace(grammar, manifest)).unwrap();
    let more = ["--pipeline", "p.toml", "--max-bad-fraction", "0.5"];
    let said = prepare(dir.path(), "demo-stories", &more, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(rows(&shard(dir.path(), "demo-stories")), 1);
    assert!(said.stderr.contains("1 inputs quarantined"), "{}", said.stderr);
}
