//! Corpus shards are read by the programs that people have: pyarrow, DuckDB, and Hugging Face `datasets`, which
//! decodes the `audio` column. `SLAM_PYTHON` names the Python that has them; without it the test is
//! skipped, or fails with `CI=true`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use slam_tests::tiny::Tiny;
use slam_tests::{Said, workspace};

#[test]
fn pyarrow_duckdb_and_datasets_read_a_corpus_shard() {
    let readers = ["pyarrow", "duckdb", "datasets"];
    let pythons = slam_testing::pythons(&readers);
    if pythons.is_empty() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 12).unwrap();
    let data = dir.path().join("data");
    let said: Said = tiny.command(&data, &["prepare-data"]).output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    for (i, python) in pythons.iter().enumerate() {
        let output = Command::new(python)
            .arg(workspace().join("tests/readers.py"))
            .arg(data.join("tiny"))
            .arg(&tiny.input)
            .env("HF_HOME", dir.path().join(format!("hf-{i}")))
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap();
        let said = Said::from(output);
        assert_eq!(said.code, Some(0), "{said:?}");
        for reader in readers {
            assert!(said.stdout.contains(&format!("read by {reader}")), "{said:?}");
        }
    }
}
