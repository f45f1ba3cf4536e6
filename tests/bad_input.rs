//! Bad input and interruptions: a message that names the thing and the remedy, the right exit code, and a second
//! run that goes on from what was there.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slam_tests::{Demo, run, workspace, xtask};

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_unknown_flag_or_name_is_bad_usage() {
    for (arguments, named) in [
        (&["demo", "--fast"][..], "--fast"),
        (&["prepare-data", "--pipeline", "nonesuch"], "nonesuch"),
        (&["prepare-data", "--stage", "unitize"], "there is no stage 'unitize'; there are ingest"),
        (&["prepare-data", "--stage", "unitise", "--shards", "99"], "no shard 99"),
        (&["prepare-data", "--shards", "3-x"], "--shards"),
        (&["train", "--budget", "soon"], "--budget"),
        (&["evaluate", "tests"], "neither a run"),
    ] {
        let said = run(arguments).unwrap();
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(named), "{arguments:?}: {}", said.stderr);
    }
}

#[test]
fn a_dataset_stays_in_the_data_root() {
    let dir = tempfile::tempdir().unwrap();
    let (input, data) = (dir.path().join("input"), dir.path().join("data"));
    recordings(&input, 1);
    for name in ["../out", "a/b", "", ".plans", "slam.lock"] {
        let (input, data) = (path(&input), path(&data));
        let command = ["prepare-data", "--input", input, "--data", data, "--dataset", name];
        let said = run(&command).unwrap();
        assert_eq!(said.code, Some(2), "{name}: {said:?}");
        assert!(said.stderr.contains("cannot name a dataset"), "{}", said.stderr);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_missing_or_empty_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let missing = dir.path().join("nowhere");
    let said = run(&["prepare-data", "--input", path(&missing), "--data", path(&data)]).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("nowhere") && said.stderr.contains("check"), "{}", said.stderr);
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let said = run(&["prepare-data", "--input", path(&empty), "--data", path(&data)]).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("empty") && said.stderr.contains("wav"), "{}", said.stderr);
}

/// A folder of recordings: the fixtures' good ones, with `copies` of the first.
fn recordings(folder: &Path, copies: usize) {
    fs::create_dir_all(folder).unwrap();
    let audio = workspace().join("tests/fixtures/audio");
    let good = fs::read_dir(&audio)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            p.extension().is_some_and(|e| e == "flac") && !name.starts_with("bad")
        })
        .unwrap();
    for i in 0..copies {
        fs::copy(&good, folder.join(format!("good-{i:03}.flac"))).unwrap();
    }
}

#[test]
fn recordings_become_units_and_an_unreadable_one_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let (input, data) = (dir.path().join("input"), dir.path().join("data"));
    recordings(&input, 20);
    fs::write(input.join("broken.wav"), b"RIFF nothing of the kind").unwrap();
    let small = ["--set", "tokeniser.kmeans.k=4", "--data", path(&data)];
    let arguments = [&["prepare-data", "--input", path(&input)][..], &small].concat();
    let said = run(&arguments).unwrap();
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("1 of 21 inputs") && said.stderr.contains("quarantine"),
        "{}",
        said.stderr
    );
    // The limit is the user's to set; what was made is kept.
    let said = run(&[&arguments[..], &["--max-bad-fraction", "0.1"]].concat()).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("1 were up to date"), "{}", said.stdout);
    let units = data.join("input/unitise-v2/mfcc-25hz/part-00000-of-00001.parquet");
    assert!(units.is_file());
}

#[test]
fn a_broken_shard_is_found_named_and_remade() {
    let demo = Demo::finished().copy().unwrap();
    let shard = demo.data().join("demo-stories/ingest-v2/part-00000-of-00003.parquet");
    let good = fs::read(&shard).unwrap();
    // Truncated: the run sees it by its size and makes it again.
    fs::write(&shard, &good[..good.len() / 2]).unwrap();
    let said = demo.again(&[]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(&shard).unwrap(), good);
    // A flipped byte: only its hash tells.
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&shard, &bad).unwrap();
    let data = demo.data();
    let said = run(&["shards", "verify", "--data", path(&data)]).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(
        said.stdout.contains("part-00000-of-00003") && said.stderr.contains("rebuild"),
        "{said:?}"
    );
    let said =
        run(&["shards", "rebuild", "demo-stories", "--quick", "--data", path(&data)]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(&shard).unwrap(), good);
}

#[test]
fn a_shard_that_breaks_under_a_stage_is_named() {
    let demo = Demo::finished().copy().unwrap();
    let units = demo.data().join("demo-stories/unitise-v2/mfcc-25hz/part-00000-of-00003.parquet");
    let corpus = demo.data().join("demo-stories/ingest-v2/part-00000-of-00003.parquet");
    let mut bad = fs::read(&corpus).unwrap();
    let end = bad.len() - 20;
    bad[end..].fill(0);
    fs::write(&corpus, &bad).unwrap();
    fs::remove_file(&units).unwrap();
    let said = demo.again(&[]).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("part-00000-of-00003"), "{}", said.stderr);
    assert!(said.stderr.contains("rebuild"), "{}", said.stderr);
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_a_second_run_goes_on() {
    let demo = Demo::finished().copy().unwrap();
    let shard = demo.data().join("demo-stories/ingest-v2/part-00001-of-00003.parquet");
    let good = fs::read(&shard).unwrap();
    fs::remove_file(&shard).unwrap();
    // A limit on the size of files stands in for a full disk: writes fail half-way in the same way.
    let command = demo.command(&[]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 4096; trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(command.get_program());
    limited.args(command.get_args()).current_dir(workspace());
    limited.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("part-00001-of-00003") && said.contains("free some"), "{said}");
    assert!(!shard.exists(), "half a shard was published");
    let again = demo.again(&[]).unwrap();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(fs::read(&shard).unwrap(), good);
}

/// Starts the demo in a folder, sends SIGINT once `ready` holds, and waits.
#[cfg(unix)]
fn interrupt(command: &mut Command, ready: impl Fn() -> bool) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < Duration::from_mins(2), "never got there");
        assert!(child.try_wait().unwrap().is_none(), "ended too early");
        thread::sleep(Duration::from_millis(5));
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_stage_keeps_what_is_done() {
    let demo = Demo::finished().copy().unwrap();
    fs::remove_dir_all(demo.data()).unwrap();
    let first = demo.data().join("demo-stories/ingest-v2/part-00000-of-00003.json");
    let (code, said) = interrupt(&mut demo.command(&["--jobs", "1"]), || first.exists());
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("again to go on"), "{said}");
    let made = fs::metadata(&first).unwrap().modified().unwrap();
    let again = demo.again(&[]).unwrap();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), made, "made twice");
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_training_saves_and_the_next_run_ends_the_same() {
    let demo = Demo::finished().copy().unwrap();
    let weights = |d: &Demo| fs::read(d.run().join("pretrain/final/model.safetensors")).unwrap();
    fs::remove_dir_all(demo.run()).unwrap();
    let metrics = demo.run().join("pretrain/metrics.jsonl");
    let begun = || fs::read_to_string(&metrics).is_ok_and(|t| t.lines().count() >= 3);
    let (code, said) = interrupt(&mut demo.command(&[]), begun);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("the state is saved"), "{said}");
    assert!(demo.run().join("pretrain/checkpoints").is_dir());
    let again = demo.again(&[]).unwrap();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(weights(&demo), weights(Demo::finished()), "the interruption shows in the weights");
}

#[test]
fn a_model_and_shards_of_another_tokeniser_refuse_each_other() {
    let demo = Demo::finished().copy().unwrap();
    let data = demo.data();
    // The benchmarks of the same name, made with other centroids.
    let set = "tokeniser.kmeans.k=40";
    let said = run(&["shards", "rebuild", "--quick", "--data", path(&data), "--set", set]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let checkpoint = demo.run().join("pretrain/final");
    let mut pipeline = slam_tests::pipeline_of(&demo.run());
    pipeline["tokeniser"]["kmeans"]["k"] = 40.into();
    let file = demo.run().join("other.toml");
    fs::write(&file, toml::to_string(&pipeline).unwrap()).unwrap();
    let options = ["--data", path(&data), "--pipeline", path(&file)];
    let said = run(&[&["evaluate", path(&checkpoint)][..], &options].concat()).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("tokeniser") && said.stderr.contains("trained on"),
        "{}",
        said.stderr
    );
}

#[test]
fn training_without_its_data_says_how_to_make_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = xtask(&["train", "--steps", "1", "--data"])
        .arg(dir.path())
        .arg("--run")
        .arg(dir.path().join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cargo xtask prepare-data"), "{said}");
}
