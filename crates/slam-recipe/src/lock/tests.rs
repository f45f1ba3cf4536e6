//! Locks on disk, and pipelines against them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::hash::Key;
use crate::name::ShardName;
use crate::params::{IngestParams, Work};
use crate::work::WorkUnit;

fn pipeline(k: u32, rows: u64) -> Pipeline {
    serde_json::from_value(json!({
        "name": "t",
        "datasets": [
            {"name": "a", "rows": rows, "source": {"kind": "folder", "folder": "here"}},
            {"name": "p", "role": "preference", "source": {"kind": "grammar", "part": "preference"}},
        ],
        "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": k}, "fit_on": "a"},
        "dpo": {"datasets": ["p"], "params": {"budget": {"steps": 1}}, "pair": {"max_auto_bleu2": 0.5}},
    }))
    .unwrap()
}

fn locked(pipeline: &Pipeline, dataset: usize) -> LockedDataset {
    let dataset = pipeline.datasets[dataset].clone();
    let output = PathBuf::from(&dataset.name).join("ingest-v2/part-00000-of-00001.parquet");
    let work = Work::Ingest(IngestParams::default());
    let unit = WorkUnit::new(work, ShardName::new(0, 1), vec![], output);
    LockedDataset {
        pair: difference::filter(pipeline, &dataset.name),
        dataset,
        tokeniser: pipeline.tokeniser.clone(),
        tokeniser_files: vec![],
        stages: vec![LockedStage { stage: Stage::Ingest, shards: vec![Shard::from(&unit)] }],
    }
}

#[test]
fn datasets_are_added_and_replaced_by_their_names() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(Lock::read(root.path()), Err(LockError::Missing { .. })));
    let (old, new) = (pipeline(10, 5), pipeline(10, 6));
    Lock::update(root.path(), vec![locked(&old, 1)]).unwrap();
    Lock::update(root.path(), vec![locked(&old, 0)]).unwrap();
    Lock::update(root.path(), vec![locked(&new, 0)]).unwrap();
    let lock = Lock::read(root.path()).unwrap();
    let names: Vec<_> = lock.datasets.iter().map(|d| d.dataset.name.as_str()).collect();
    assert_eq!(names, ["a", "p"]);
    assert_eq!(lock.dataset("a", "m").unwrap().dataset.rows, 6);
    assert!(lock.dataset("a", "other").is_none());
}

#[test]
fn what_was_made_stays_known_where_only_the_lock_came_along() {
    let root = tempfile::tempdir().unwrap();
    let made = |dataset: &LockedDataset| dataset.stages[0].shards[0].made.clone();
    let mut entry = locked(&pipeline(10, 5), 0);
    let counts = Made {
        rows: 3,
        bytes: 4,
        blake3: Key::of_bytes(b"x"),
        quarantined: 0,
        totals: BTreeMap::new(),
    };
    entry.stages[0].shards[0].made = Some(counts.clone());
    Lock::update(root.path(), vec![entry]).unwrap();
    // Another machine, which has no such shard, plans the same work.
    let planned = locked(&pipeline(10, 5), 0);
    Lock::update(root.path(), vec![planned.clone()]).unwrap();
    let lock = Lock::read(root.path()).unwrap();
    assert_eq!(made(lock.dataset("a", "m").unwrap()), Some(counts));
    // Other work has made nothing yet.
    let mut other = planned;
    other.stages[0].shards[0].key = Key::of_bytes(b"other");
    Lock::update(root.path(), vec![other]).unwrap();
    let lock = Lock::read(root.path()).unwrap();
    assert_eq!(made(lock.dataset("a", "m").unwrap()), None);
}

#[cfg(unix)]
#[test]
fn what_has_no_json_leaves_the_lock_as_it_was() {
    use std::os::unix::ffi::OsStrExt as _;
    let root = tempfile::tempdir().unwrap();
    Lock::update(root.path(), vec![locked(&pipeline(10, 5), 0)]).unwrap();
    let before = std::fs::read(root.path().join(Lock::NAME)).unwrap();
    let mut other = locked(&pipeline(10, 5), 0);
    let folder = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9")).to_owned();
    *other.dataset.source.folder_mut().unwrap() = Some(folder);
    let error = Lock::update(root.path(), vec![other]).unwrap_err().to_string();
    assert!(error.contains("rename") && error.contains(Lock::NAME), "{error}");
    assert_eq!(std::fs::read(root.path().join(Lock::NAME)).unwrap(), before);
}

#[test]
fn a_lock_that_leaves_out_a_shard_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut entry = locked(&pipeline(10, 5), 0);
    Lock::update(root.path(), vec![entry.clone()]).unwrap();
    Lock::read(root.path()).unwrap();
    entry.stages[0].shards.pop();
    let text = serde_json::to_vec(&Lock::new(vec![entry])).unwrap();
    std::fs::write(root.path().join(Lock::NAME), text).unwrap();
    let error = Lock::read(root.path()).unwrap_err().to_string();
    assert!(error.contains("does not name every shard of stage"), "{error}");
    std::fs::remove_file(root.path().join(Lock::NAME)).unwrap();
    std::fs::create_dir(root.path().join(Lock::NAME)).unwrap();
    let error = Lock::read(root.path()).unwrap_err().to_string();
    assert!(error.contains("is not a file"), "{error}");
}

#[test]
fn many_processes_at_once_lose_no_dataset() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for i in 0..16 {
            let root = root.path();
            scope.spawn(move || {
                let p = pipeline(10, 5);
                let mut entry = locked(&p, 0);
                entry.dataset.name = format!("d{i:02}");
                Lock::update(root, vec![entry]).unwrap();
            });
        }
    });
    assert_eq!(Lock::read(root.path()).unwrap().datasets.len(), 16);
}

#[test]
fn what_differs_is_named_field_by_field_and_a_place_is_no_difference() {
    let before = pipeline(10, 5);
    let lock = Lock::new(vec![locked(&before, 0), locked(&before, 1)]);
    let select = |p: &Pipeline| lock.select(Path::new("r"), p, |_| true);
    assert_eq!(select(&before).unwrap().datasets.len(), 2);
    let mut moved = before.clone();
    *moved.datasets[0].source.folder_mut().unwrap() = Some("there".into());
    moved.datasets[0].licence = "CC0".into();
    assert!(select(&moved).is_ok());
    let error = select(&pipeline(11, 7)).unwrap_err().to_string();
    assert!(error.contains("datasets.a.rows was 5 and is now 7"), "{error}");
    assert!(error.contains("tokeniser.kmeans.k was 10 and is now 11"), "{error}");
    let mut filtered = before.clone();
    filtered.dpo.as_mut().unwrap().pair.max_auto_bleu2 = 0.25;
    let error = select(&filtered).unwrap_err().to_string();
    assert!(error.contains("'p'") && error.contains("dpo.pair.max_auto_bleu2"), "{error}");
    // A dataset that the command does not need may differ.
    assert_eq!(
        lock.select(Path::new("r"), &filtered, |d| d.name == "a").unwrap().datasets.len(),
        1
    );
}

#[test]
fn a_dataset_that_was_not_prepared_is_named_beside_those_that_were() {
    let p = pipeline(10, 5);
    let lock = Lock::new(vec![locked(&p, 0)]);
    let error = lock.select(Path::new("r"), &p, |_| true).unwrap_err().to_string();
    assert!(error.contains("'p'") && error.contains("a (m)"), "{error}");
}

#[test]
fn a_file_that_is_no_lock_or_of_another_version_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(Lock::NAME);
    for (text, says) in [
        ("", "no recipe lock"),
        ("{}", "no recipe lock"),
        (r#"{"version": 3, "datasets": []}"#, "version 3"),
        (r#"{"version": 2, "datasets": [{}]}"#, "no recipe lock"),
        (r#"{"version": 2, "datasets": [], "more": 1}"#, "more"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Lock::read(root.path()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        // What cannot be read is not overwritten.
        assert!(Lock::update(root.path(), vec![]).is_err());
    }
}
