//! Identity by content: a changed byte of an input changes the keys of exactly the work that depends on it, and an
//! input that lies elsewhere changes none.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use slam_pipeline::{Plan, StagePlan, Steps};
use slam_recipe::lock::Lock;
use slam_recipe::{Key, Pipeline, PipelineChoice, Request, RunFile};
use tempfile::TempDir;

/// Every file that the pipeline reads. Planning looks into the table alone.
const FILES: [&str; 18] = [
    "speech/a.wav",
    "speech/b.wav",
    "table/x.wav",
    "table/y.wav",
    "books/train-clean-100/1/2/1-2-0000.flac",
    "books/train-clean-100/1/2/1-2.trans.txt",
    "books/train-clean-100/3/4/3-4-0000.flac",
    "books/train-clean-100/3/4/3-4.trans.txt",
    "suite/0_a_correct.wav",
    "suite/0_a_incorrect.wav",
    "centroids.npy",
    "hubert/config.json",
    "hubert/model.safetensors",
    "lines/pairs.jsonl",
    "sampler/config.json",
    "sampler/model.safetensors",
    "start/config.json",
    "start/model.safetensors",
];

/// A folder with every kind of input, and a table of two of the recordings.
fn inputs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {name}")).unwrap();
    }
    fs::write(folder.path().join("table.tsv"), "id\tpath\nx\tx.wav\ny\ty.wav\n").unwrap();
    folder
}

/// A pipeline over the inputs of a folder; one recording makes one shard.
fn pipeline(inputs: &Path, centroids: Value) -> Pipeline {
    let at = |name: &str| inputs.join(name);
    let mut tokeniser = centroids;
    tokeniser["name"] = json!("t");
    tokeniser["features"] = json!({"kind": "hubert", "layer": 1});
    tokeniser["checkpoint"] = json!(at("hubert"));
    let scorer = json!({"command": "x"});
    serde_json::from_value(json!({
        "name": "identity",
        "datasets": [
            {"name": "speech", "shard_bytes": 1, "source": {"kind": "folder", "folder": at("speech")}},
            {"name": "table", "shard_bytes": 1, "source":
                {"kind": "manifest", "file": at("table.tsv"), "folder": at("table")}},
            {"name": "books", "shard_bytes": 1, "source": {"kind": "librispeech", "folder": at("books")}},
            {"name": "suite", "role": "benchmark", "source":
                {"kind": "suite", "layout": "story-cloze", "name": "tsc", "folder": at("suite")}},
            {"name": "lines", "role": "preference", "source":
                {"kind": "slamkit-pairs", "folder": at("lines")}},
            {"name": "sampled", "role": "preference", "source":
                {"kind": "sampled", "of": "speech", "checkpoint": at("sampler"), "scorer": scorer}},
        ],
        "tokeniser": tokeniser,
    }))
    .unwrap()
}

/// The centroids of a file of the inputs.
fn read(inputs: &Path) -> Value {
    json!({"centroids": inputs.join("centroids.npy")})
}

/// Centroids that are fitted on the first shard.
fn fitted() -> Value {
    json!({"fit_on": "speech", "fit_shards": 1, "kmeans": {"k": 4}})
}

/// The keys of all shards by name, e.g. `speech unitise 1`.
fn keys(pipeline: &Pipeline) -> BTreeMap<String, Key> {
    let of_stage = |s: &StagePlan| {
        let name = |i| format!("{} {} {i}", s.dataset, s.stage);
        s.units.iter().enumerate().map(|(i, u)| (name(i), u.key.clone())).collect::<Vec<_>>()
    };
    Plan::new(pipeline).unwrap().stages.iter().flat_map(of_stage).collect()
}

/// The shards whose keys differ.
fn changed(before: &BTreeMap<String, Key>, after: &BTreeMap<String, Key>) -> BTreeSet<String> {
    assert!(before.keys().eq(after.keys()), "other shards: {before:?} {after:?}");
    let differ = before.iter().filter(|(name, key)| after[*name] != **key);
    differ.map(|(name, _)| name.clone()).collect()
}

/// Changes the last byte of a file.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

/// What follows from the tokeniser: all but ingest and the pairs of other programs.
const AFTER_TOKENISER: [&str; 10] = [
    "speech unitise 0",
    "speech unitise 1",
    "table unitise 0",
    "table unitise 1",
    "books unitise 0",
    "books unitise 1",
    "suite unitise 0",
    "suite benchmark 0",
    "sampled pair 0",
    "sampled pair 1",
];

#[test]
fn a_changed_byte_changes_exactly_what_depends_on_it() {
    let inputs = inputs();
    let folder = inputs.path();
    let find = || keys(&pipeline(folder, read(folder)));
    let books = ["books ingest 1", "books unitise 1"];
    let suite = ["suite ingest 0", "suite unitise 0", "suite benchmark 0"];
    let sampled = ["sampled pair 0", "sampled pair 1"];
    for (file, expected) in [
        ("speech/b.wav", &["speech ingest 1", "speech unitise 1", "sampled pair 1"][..]),
        ("table/x.wav", &["table ingest 0", "table unitise 0"]),
        ("books/train-clean-100/3/4/3-4.trans.txt", &books),
        ("books/train-clean-100/3/4/3-4-0000.flac", &books),
        ("suite/0_a_incorrect.wav", &suite),
        ("centroids.npy", &AFTER_TOKENISER),
        ("hubert/config.json", &AFTER_TOKENISER),
        ("hubert/model.safetensors", &AFTER_TOKENISER),
        ("lines/pairs.jsonl", &["lines pair 0"]),
        ("sampler/config.json", &sampled),
        ("sampler/model.safetensors", &sampled),
        ("start/model.safetensors", &[]),
    ] {
        let before = find();
        flip(&folder.join(file));
        assert_eq!(changed(&before, &find()), set(expected), "{file}");
        // The old content is the old work.
        flip(&folder.join(file));
        assert_eq!(find(), before, "{file}");
    }
}

#[test]
fn fitted_centroids_depend_on_the_first_shards_and_on_the_weights_alone() {
    let inputs = inputs();
    let folder = inputs.path();
    let find = || keys(&pipeline(folder, fitted()));
    let fit: Vec<&str> = ["speech fit-kmeans 0"].into_iter().chain(AFTER_TOKENISER).collect();
    for (file, expected) in [
        ("speech/a.wav", [&["speech ingest 0"], &fit[..]].concat()),
        ("speech/b.wav", vec!["speech ingest 1", "speech unitise 1", "sampled pair 1"]),
        ("hubert/config.json", fit.clone()),
        ("hubert/model.safetensors", fit.clone()),
        ("centroids.npy", vec![]),
    ] {
        let before = find();
        flip(&folder.join(file));
        assert_eq!(changed(&before, &find()), set(&expected), "{file}");
    }
}

#[test]
fn inputs_that_lie_elsewhere_or_were_written_later_are_the_same_work() {
    let (here, there) = (inputs(), inputs());
    let (here, there) = (here.path(), there.path());
    let touch = || {
        let file = fs::File::options().write(true).open(here.join("speech/a.wav")).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
    };
    let before = (keys(&pipeline(here, read(here))), keys(&pipeline(here, fitted())));
    touch();
    for folder in [here, there] {
        let after = (keys(&pipeline(folder, read(folder))), keys(&pipeline(folder, fitted())));
        assert_eq!(before, after);
    }
}

/// A run that starts from a folder's checkpoint.
enum Start<'a> {
    /// Pre-training from a text model's weights, then preference optimisation.
    Twist(&'a Path),
    /// Preference optimisation of a policy alone.
    Policy(&'a Path),
}

fn run(start: Start<'_>) -> Pipeline {
    let spoken = |part: &str| json!({"kind": "grammar", "part": part});
    let mut text = json!({
        "name": "t",
        "datasets": [
            {"name": "a", "rows": 10, "source": spoken("stories")},
            {"name": "p", "role": "preference", "rows": 4, "source": spoken("preference")},
        ],
        "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "kmeans": {"k": 9}, "fit_on": "a"},
        "dpo": {"datasets": ["p"], "params": {"budget": {"steps": 5}}},
    });
    match start {
        Start::Twist(folder) => {
            text["model"] = json!({"checkpoint": folder});
            text["train"] = json!({"datasets": ["a"], "params": {"budget": {"steps": 5}}});
        }
        Start::Policy(folder) => text["dpo"]["policy"] = json!(folder),
    }
    serde_json::from_value(text).unwrap()
}

/// What tells the trainings of a run apart from others: start and data.
fn identities(start: Start<'_>) -> Vec<(Option<Key>, Key)> {
    let pipeline = run(start);
    let locked = Plan::new(&pipeline).unwrap().locked(&pipeline);
    let data = Lock::new(locked).select(Path::new("data"), &pipeline, |_| true).unwrap();
    let file =
        RunFile { pipeline, data: "data".into(), notice: None, named: PipelineChoice::whole("t") };
    let identity = |request: Request| match request {
        Request::Pretrain(r) => Some((r.start_key, r.data_key)),
        Request::Dpo(r) => Some((None, r.data_key)),
        _ => None,
    };
    let steps = file.steps(&data, Path::new("run")).unwrap();
    steps.into_iter().filter_map(|s| identity(s.request)).collect()
}

#[test]
fn a_run_is_told_by_the_content_of_the_checkpoint_that_it_starts_from() {
    for file in ["start/model.safetensors", "start/config.json"] {
        let (here, there) = (inputs(), inputs());
        let of = |inputs: &TempDir| {
            let folder = inputs.path().join("start");
            (identities(Start::Twist(&folder)), identities(Start::Policy(&folder)))
        };
        let (twist, policy) = of(&here);
        assert_eq!((twist.len(), policy.len()), (2, 1));
        assert_eq!((twist.clone(), policy.clone()), of(&there), "the folder counts");
        flip(&here.path().join(file));
        let (other_twist, other_policy) = of(&here);
        assert_ne!(twist[0].0, other_twist[0].0, "the start: {file}");
        assert_eq!(twist[0].1, other_twist[0].1, "the data: {file}");
        assert_ne!(twist[1], other_twist[1], "the preference run after it: {file}");
        assert_ne!(policy[0], other_policy[0], "the policy: {file}");
    }
}
