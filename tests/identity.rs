//! Identity by content, through the commands: a changed byte is work to do again, another place is none.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use slam_tests::tiny::Tiny;
use slam_tests::{Demo, Said, pipeline_of, run, workspace, xtask};

fn ok(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said.stdout
}

/// Changes the lowest bits of a number near a file's end.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 4;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_changed_recording_is_made_again_alone_and_a_moved_folder_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(folder.path(), 20).unwrap();
    let data = folder.path().join("data");
    let prepare = |more: &[&str]| {
        let arguments = [&["prepare-data"][..], more].concat();
        ok(tiny.command(&data, &arguments).output().unwrap().into())
    };
    assert!(prepare(&[]).starts_with("9 shards made, 0 were"), "four, one and four shards");
    // The last shard is none that centroids are fitted on.
    flip(&tiny.input.join("0019.wav"));
    assert!(prepare(&[]).starts_with("2 shards made, 7 were"));
    let moved = folder.path().join("moved");
    fs::rename(&tiny.input, &moved).unwrap();
    let source = format!("tiny={}", moved.display());
    assert!(prepare(&["--source", &source]).starts_with("0 shards made, 9 were"));
}

/// A run of the quick demo's pre-training that starts from a checkpoint.
struct Twist {
    folder: tempfile::TempDir,
    pipeline: PathBuf,
}

impl Twist {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut pipeline = pipeline_of(&Demo::finished().run());
        for table in ["dpo", "evaluate"] {
            pipeline.as_object_mut().unwrap().remove(table);
        }
        pipeline["train"]["params"]["context"] = json!(64);
        // The checkpoint has sizes of its own.
        pipeline["model"] = json!({"checkpoint": folder.path().join("start")});
        let path = folder.path().join("twist.toml");
        fs::write(&path, toml::to_string(&pipeline).unwrap()).unwrap();
        Self { folder, pipeline: path }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, start: &Path) -> String {
        let mut command = xtask(&["train", "--steps", "3", "--pipeline"]);
        command.arg(&self.pipeline).arg("--init").arg(start).arg("--run").arg(self.at("run"));
        ok(command.arg("--data").arg(Demo::finished().data()).output().unwrap().into())
    }

    fn weights(&self) -> Vec<u8> {
        fs::read(self.at("run/pretrain/final/model.safetensors")).unwrap()
    }
}

#[test]
fn other_weights_of_the_start_train_again_and_the_same_weights_elsewhere_do_not() {
    let twist = Twist::new();
    let (start, moved) = (twist.at("start"), twist.at("moved"));
    let text = workspace().join("tests/fixtures/qwen2");
    let (text, out) = (text.to_str().unwrap(), start.to_str().unwrap());
    ok(run(&["import", "hf", text, "--out", out, "--units", "50"]).unwrap());
    assert!(!twist.train(&start).contains("nothing to do"));
    let first = twist.weights();
    assert!(twist.train(&start).contains("nothing to do"));
    fs::rename(&start, &moved).unwrap();
    assert!(twist.train(&moved).contains("nothing to do"), "the folder's name counts");
    assert_eq!(twist.weights(), first);
    flip(&moved.join("model.safetensors"));
    assert!(!twist.train(&moved).contains("nothing to do"), "the weights do not count");
    assert_ne!(twist.weights(), first);
}
