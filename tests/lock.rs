//! The recipe lock: what was prepared is known without recordings, and what differs from it is named.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slam_tests::tiny::{Tiny, tree, wav};
use slam_tests::{Demo, Said, copy, pipeline_of, run, workspace, xtask};
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ok(said: Said) -> Said {
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said
}

fn lock(data: &Path) -> Value {
    serde_json::from_slice(&fs::read(data.join("slam.lock")).unwrap()).unwrap()
}

/// The quick demo's pipeline as a file.
fn pipeline(folder: &Path) -> PathBuf {
    let path = folder.join("quick.toml");
    fs::write(&path, toml::to_string(&pipeline_of(&Demo::finished().run())).unwrap()).unwrap();
    path
}

/// What another machine gets of the quick demo's data: units, pairs, suites, centroids and the lock.
fn carry(to: &Path) {
    let from = Demo::finished().data();
    for dataset in fs::read_dir(&from).unwrap().map(|e| e.unwrap().path()) {
        let name = dataset.file_name().unwrap();
        if !dataset.is_dir() || name == ".plans" {
            continue;
        }
        for stage in fs::read_dir(&dataset).unwrap().map(|e| e.unwrap().path()) {
            let stage_name = stage.file_name().unwrap();
            if !stage_name.to_string_lossy().starts_with("ingest") {
                copy(&stage, &to.join(name).join(stage_name)).unwrap();
            }
        }
    }
    fs::copy(from.join("slam.lock"), to.join("slam.lock")).unwrap();
}

#[test]
fn another_machine_needs_units_pairs_suites_and_the_lock_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trained) = (folder.path().join("data"), folder.path().join("run"));
    carry(&data);
    let pipeline = pipeline(folder.path());
    let before = fs::read(data.join("slam.lock")).unwrap();
    let (data, trained, pipeline) = (text(&data), text(&trained), text(&pipeline));
    let options = ["--pipeline", pipeline, "--data", data];
    let train = [&["train", "--steps", "4", "--run", trained][..], &options].concat();
    ok(run(&train).unwrap());
    ok(run(&["evaluate", trained]).unwrap());
    let table = ok(run(&["report", trained]).unwrap()).stdout;
    let corpus = |table: &str| {
        table.lines().find(|l| l.starts_with("corpus")).map(str::to_owned).expect("a corpus line")
    };
    assert_eq!(corpus(&table), corpus(&Demo::finished().said.stdout));
    let page = fs::read_to_string(Path::new(trained).join("report.html")).unwrap();
    assert!(page.contains("demo-stories"), "the report has no corpus table");
    // Units are read as they are; a recording needs the tokeniser, which the lock names.
    let (units, sound) = (folder.path().join("units.json"), folder.path().join("sound.wav"));
    fs::write(&units, "[3, 1, 4, 1, 5]").unwrap();
    fs::copy(workspace().join("tests/fixtures/audio/tones_24000.wav"), &sound).unwrap();
    let checkpoint = Path::new(trained).join("pretrain/final");
    for prompt in [&units, &sound] {
        let generate = ["generate", text(&checkpoint), "--prompt", text(prompt)];
        let said =
            ok(run(&[&generate[..], &["--max-new-tokens", "5"], &options].concat()).unwrap());
        let made: Value = serde_json::from_str(&said.stdout).unwrap();
        assert!(!made[0]["prompt_units"].as_array().unwrap().is_empty(), "{made}");
    }
    let status = ok(run(&[&["shards", "status", "demo-lexical"][..], &options].concat()).unwrap());
    assert!(status.stdout.contains("demo-lexical benchmark: 1 done"), "{}", status.stdout);
    assert!(status.stdout.contains("demo-lexical ingest: 0 done, 2 missing"), "{}", status.stdout);
    assert_eq!(fs::read(Path::new(data).join("slam.lock")).unwrap(), before, "the lock changed");
}

#[test]
fn a_changed_field_is_named_with_both_values_and_the_command_that_prepares_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("it's data");
    fs::create_dir(&data).unwrap();
    fs::copy(Demo::finished().data().join("slam.lock"), data.join("slam.lock")).unwrap();
    let pipeline = pipeline(folder.path());
    let set = ["datasets.demo-stories.rows=121", "train.datasets=[\"demo-stories\"]"];
    let mut command = xtask(&["train", "--steps", "1", "--pipeline", text(&pipeline)]);
    command.args(["--set", set[0], "--set", set[1], "--data"]).arg(&data);
    let said: Said = command.arg("--run").arg(folder.path().join("run")).output().unwrap().into();
    assert_eq!(said.code, Some(1), "{said:?}");
    let differs = "datasets.demo-stories.rows was 120 and is now 121";
    assert!(said.stderr.contains(differs), "{}", said.stderr);
    let hint = said.stderr.split('`').nth(1).expect("a command");
    let hint = hint.strip_prefix("cargo xtask ").expect("a command of this program");
    // The shell reads the command's words as the user wrote them.
    let words =
        Command::new("sh").args(["-c", &format!("printf '%s\\n' {hint}")]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    let expected = ["prepare-data", "--pipeline", text(&pipeline), "--data", text(&data)];
    assert_eq!(words, [&expected[..], &["--set", set[0], "--set", set[1]]].concat());
}

#[test]
fn a_lock_that_cannot_be_used_is_said_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(folder.path(), 5).unwrap();
    let data = folder.path().join("data");
    let command = |arguments: &[&str]| Said::from(tiny.command(&data, arguments).output().unwrap());
    let none = command(&["shards", "status"]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("has no slam.lock"), "{}", none.stderr);
    assert!(none.stderr.contains("cargo xtask prepare-data --pipeline"), "{}", none.stderr);
    ok(command(&["prepare-data"]));
    let good = fs::read(data.join("slam.lock")).unwrap();
    let mut newer = lock(&data);
    newer["version"] = json!(3);
    let newer = serde_json::to_vec(&newer).unwrap();
    for (bad, says) in [(&newer[..], "version 3"), (&good[..good.len() / 2], "no recipe lock")] {
        fs::write(data.join("slam.lock"), bad).unwrap();
        for arguments in [&["prepare-data"][..], &["shards", "status"], &["shards", "rebuild"]] {
            let said = command(arguments);
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.stderr.contains(says), "{arguments:?}: {}", said.stderr);
            assert!(said.stderr.contains("delete it"), "{arguments:?}: {}", said.stderr);
            assert_eq!(fs::read(data.join("slam.lock")).unwrap(), bad, "{arguments:?}");
        }
    }
    // What the message says helps, and costs nothing that is there.
    fs::remove_file(data.join("slam.lock")).unwrap();
    let said = ok(command(&["prepare-data"]));
    assert!(said.stdout.starts_with("0 shards made"), "{}", said.stdout);
    assert_eq!(fs::read(data.join("slam.lock")).unwrap(), good);
}

/// What turns the tiny pipeline into one that trains.
const TRAINING: &str = r#"
[model]
model_type = "qwen2"
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
max_position_embeddings = 64
[train]
datasets = ["tiny"]
[train.params]
budget = { steps = 2 }
context = 16
rows = 2
"#;

#[test]
fn a_folder_that_was_named_is_remembered_and_later_commands_need_no_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(folder.path(), 40).unwrap();
    let text = fs::read_to_string(&tiny.pipeline).unwrap();
    fs::write(&tiny.pipeline, format!("{text}{TRAINING}")).unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    fs::rename(&tiny.input, &elsewhere).unwrap();
    let command = |arguments: &[&str]| Said::from(tiny.command(&data, arguments).output().unwrap());
    let source = format!("tiny={}", elsewhere.display());
    ok(command(&["prepare-data", "--source", &source]));
    let recorded = &lock(&data)["datasets"][0]["dataset"]["source"]["folder"];
    assert_eq!(recorded, elsewhere.to_str().unwrap());
    // The pipeline's own folder is not there.
    let said = ok(command(&["prepare-data"]));
    assert!(said.stdout.starts_with("0 shards made"), "{}", said.stdout);
    let unit = data.join("tiny/unitise-v2/mfcc/part-00000-of-00008.parquet");
    let bytes = fs::read(&unit).unwrap();
    fs::remove_file(&unit).unwrap();
    let said = ok(command(&["shards", "rebuild"]));
    assert!(said.stdout.contains("1 shards remade"), "{}", said.stdout);
    assert_eq!(fs::read(&unit).unwrap(), bytes);
    fs::remove_dir_all(&elsewhere).unwrap();
    let status = ok(command(&["shards", "status"])).stdout;
    assert_eq!(status.matches("0 missing, 0 stale, 0 broken").count(), 3, "{status}");
    let trained = folder.path().join("run");
    let said = ok(command(&["train", "--run", trained.to_str().unwrap()]));
    assert!(!said.stderr.contains("stale"), "{}", said.stderr);
}

#[test]
fn two_commands_at_once_lose_nothing_of_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(folder.path(), 20).unwrap();
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    (0..20).for_each(|i| fs::write(second.join(format!("{i:02}.wav")), wav(100 + i)).unwrap());
    let more = format!(
        "[[datasets]]\nname = \"second\"\nshard_bytes = 22000\nsource = {{ kind = \"folder\", folder = \"{}\" }}\n",
        second.display()
    );
    let pipeline = fs::read_to_string(&tiny.pipeline).unwrap();
    fs::write(&tiny.pipeline, format!("{pipeline}{more}")).unwrap();
    let (once, both) = (folder.path().join("once"), folder.path().join("both"));
    ok(tiny.command(&once, &["prepare-data"]).output().unwrap().into());
    let started: Vec<_> = ["tiny", "second"]
        .map(|dataset| {
            let mut command = tiny.command(&both, &["prepare-data", "--dataset", dataset]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for child in started {
        ok(child.wait_with_output().unwrap().into());
    }
    assert_eq!(lock(&both), lock(&once));
    assert_eq!(tree(&both), tree(&once));
}

#[test]
fn a_killed_command_leaves_a_lock_of_what_is_planned_and_the_next_completes_it() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(folder.path(), 100).unwrap();
    let (whole, data) = (folder.path().join("whole"), folder.path().join("data"));
    ok(tiny.command(&whole, &["prepare-data"]).output().unwrap().into());
    let mut command = tiny.command(&data, &["prepare-data", "--jobs", "1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while !data.join("tiny/ingest-v2/part-00000-of-00020.json").exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "no shard");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        thread::sleep(Duration::from_millis(1));
    }
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    child.wait().unwrap();
    let left = lock(&data);
    let stages = left["datasets"][0]["stages"].as_array().unwrap();
    let planned = |stage: usize| stages[stage]["shards"].as_array().unwrap();
    assert_eq!([planned(0).len(), planned(1).len(), planned(2).len()], [20, 1, 20]);
    assert!(planned(2).iter().all(|s| s.get("made").is_none()), "{left}");
    ok(tiny.command(&data, &["prepare-data"]).output().unwrap().into());
    assert_eq!(tree(&data), tree(&whole));
}

#[test]
fn recordings_that_are_in_no_pipeline_are_rebuilt_as_the_lock_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (input, data) = (folder.path().join("talks"), folder.path().join("data"));
    fs::create_dir(&input).unwrap();
    (0..3).for_each(|i| fs::write(input.join(format!("{i}.wav")), wav(i)).unwrap());
    let prepare = ["prepare-data", "--input", text(&input), "--data", text(&data)];
    let set = ["--set", "tokeniser.kmeans.k=4", "--set", "tokeniser.name=four"];
    ok(run(&[&prepare[..], &set].concat()).unwrap());
    let unit = data.join("talks/unitise-v2/four/part-00000-of-00001.parquet");
    let before = fs::read(&unit).unwrap();
    fs::remove_file(&unit).unwrap();
    let status = ok(run(&["shards", "status", "talks", "--data", text(&data)]).unwrap());
    assert!(status.stdout.contains("missing"), "{}", status.stdout);
    ok(run(&["shards", "rebuild", "talks", "--data", text(&data)]).unwrap());
    assert_eq!(fs::read(&unit).unwrap(), before);
}

#[test]
fn another_folder_of_the_same_name_does_not_replace_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let clips = ["en", "de"].map(|language| folder.path().join(language).join("clips"));
    for (folder, seed) in clips.iter().zip([0, 10]) {
        fs::create_dir_all(folder).unwrap();
        (0..3).for_each(|i| fs::write(folder.join(format!("{i}.wav")), wav(seed + i)).unwrap());
    }
    let prepare = |clips: &Path, more: &[&str]| {
        let options = ["prepare-data", "--data", text(&data), "--input", text(clips)];
        let set = ["--set", "tokeniser.kmeans.k=4", "--set", "tokeniser.name=four"];
        run(&[&options[..], &set, more].concat()).unwrap()
    };
    ok(prepare(&clips[0], &[]));
    let before = tree(&data.join("clips"));
    let said = prepare(&clips[1], &[]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("en/clips") && said.stderr.contains("--dataset"), "{said:?}");
    assert_eq!(tree(&data.join("clips")), before);
    ok(prepare(&clips[1], &["--dataset", "german"]));
    assert_eq!(tree(&data.join("clips")), before);
    // The same folder under another path is not refused.
    let again = folder.path().join("de/../en/clips");
    let said = ok(prepare(&again, &[]));
    assert!(said.stdout.starts_with("0 shards made"), "{}", said.stdout);
}
