//! Checkpoints and units in the forms of other programs, and continuations, through the commands.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use slam_tests::{Demo, run, workspace};

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn slamkits_lines_come_in_and_go_out_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out.jsonl"));
    let fixtures = std::env::var_os("SLAM_FIXTURES")
        .map_or_else(|| workspace().join("tests/fixtures"), std::path::PathBuf::from);
    let lines = fixtures.join("units/features.jsonl");
    let imported = run(&[
        "import",
        "slamkit",
        path(&lines),
        "--dataset",
        "lines",
        "--k",
        "12",
        "--data",
        path(&data),
    ])
    .unwrap();
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    for (form, expected) in [(&[][..], "features.jsonl"), (&["--tokens"], "tokens.jsonl")] {
        let export = ["export", "slamkit", "lines", "--out", path(&out), "--data", path(&data)];
        let said = run(&[&export[..], form].concat()).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let expected = fs::read(fixtures.join("units").join(expected)).unwrap();
        assert_eq!(fs::read(&out).unwrap(), expected);
    }
    // A unit that the tokeniser does not have is no unit.
    let said = run(&[
        "import",
        "slamkit",
        path(&lines),
        "--dataset",
        "few",
        "--k",
        "3",
        "--data",
        path(&data),
    ])
    .unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("of a tokeniser with 3"), "{}", said.stderr);
}

#[test]
fn a_dataset_is_exported_whole_or_not_at_all() {
    let demo = Demo::finished().copy().unwrap();
    let (data, out) = (demo.data(), demo.run().join("out.jsonl"));
    let export = ["export", "slamkit", "demo-stories", "--out", path(&out), "--data", path(&data)];
    let said = run(&export).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let lines = fs::read_to_string(&out).unwrap().lines().count();
    assert_eq!(lines, 120);
    fs::remove_file(&out).unwrap();
    let units = data.join("demo-stories/unitise-v2/mfcc-25hz");
    let shard = fs::read_dir(units).unwrap().map(|e| e.unwrap().path());
    fs::remove_file(shard.filter(|p| p.extension().is_some_and(|e| e == "parquet")).min().unwrap())
        .unwrap();
    for name in ["demo-stories", "./demo-stories/"] {
        let said = run(&[&export[..2], &[name], &export[3..]].concat()).unwrap();
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains("missing or stale"), "{}", said.stderr);
        assert!(said.stderr.contains("shards rebuild demo-stories --data"), "{}", said.stderr);
        assert!(!out.exists());
    }
}

#[test]
fn a_checkpoint_is_exported_with_its_card_and_comes_back() {
    let demo = Demo::finished();
    let dir = tempfile::tempdir().unwrap();
    let (hf, back) = (dir.path().join("hf"), dir.path().join("back"));
    let checkpoint = demo.run().join("dpo/final");
    let said = run(&["export", "hf", path(&checkpoint), "--out", path(&hf)]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let config: Value = serde_json::from_slice(&fs::read(hf.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "Qwen2ForCausalLM");
    for file in ["generation_config.json", "tokenizer.json", "model.safetensors"] {
        assert!(hf.join(file).is_file(), "{file}");
    }
    let card = fs::read_to_string(hf.join("README.md")).unwrap();
    for said in [
        "demo-stories (synthetic",
        "mfcc-25hz: 50 units",
        "qwen2: ",
        "pretrain: ",
        "dpo: ",
        "of a budget of",
        "lexical:",
    ] {
        assert!(card.contains(said), "no '{said}' in\n{card}");
    }
    let said = run(&["import", "slamkit", path(&hf), "--out", path(&back)]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let weights = |p: &Path| fs::read(p.join("model.safetensors")).unwrap();
    assert_eq!(weights(&back), weights(&checkpoint));
}

#[test]
fn a_text_model_becomes_a_unit_model() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twist");
    let text = workspace().join("tests/fixtures/qwen2");
    let said = run(&["import", "hf", path(&text), "--out", path(&out), "--units", "20"]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let config: Value =
        serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["vocab_size"], 22);
    let said = run(&["import", "hf", path(dir.path()), "--out", path(&out)]).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("config.json"), "{}", said.stderr);
}

#[test]
fn a_spoken_prompt_is_continued_and_the_seed_decides() {
    let demo = Demo::finished();
    let (checkpoint, data) = (demo.run().join("pretrain/final"), demo.data());
    let audio = workspace().join("tests/fixtures/audio");
    let prompt = fs::read_dir(audio)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_string_lossy().starts_with("tones_"))
        .unwrap();
    let generate = |seed: &str| {
        let said = run(&[
            "generate",
            path(&checkpoint),
            "--prompt",
            path(&prompt),
            "--quick",
            "--data",
            path(&data),
            "--max-new-tokens",
            "12",
            "--seed",
            seed,
        ])
        .unwrap();
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let made: Value = serde_json::from_str(&said.stdout).unwrap();
        assert!(!made[0]["prompt_units"].as_array().unwrap().is_empty());
        assert!(made[0]["units"].as_array().unwrap().iter().all(|u| u.as_u64().unwrap() < 50));
        made
    };
    assert_eq!(generate("1"), generate("1"));
    assert_ne!(generate("1"), generate("2"));
    // Prompts of different length together; each unit is told as it is drawn, and the file has all of them.
    let dir = tempfile::tempdir().unwrap();
    let (units, out) = (dir.path().join("prompt.json"), dir.path().join("out.json"));
    fs::write(&units, "[3, 1, 4, 1, 5]").unwrap();
    let said = run(&[
        "generate",
        path(&checkpoint),
        "--prompt",
        path(&prompt),
        "--prompt",
        path(&units),
        "--quick",
        "--data",
        path(&data),
        "--max-new-tokens",
        "12",
        "--seed",
        "1",
        "--stream",
        "--out",
        path(&out),
    ])
    .unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let made: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(made[0]["units"], generate("1")[0]["units"], "a batch-mate changes nothing");
    assert_eq!(made[1]["prompt_units"], serde_json::json!([3, 1, 4, 1, 5]));
    let told: Vec<Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for i in 0..2 {
        let of_prompt: Vec<&Value> =
            told.iter().filter(|t| t["prompt"] == i).map(|t| &t["unit"]).collect();
        let mut expected: Vec<&Value> = made[i]["units"].as_array().unwrap().iter().collect();
        expected.extend((made[i]["ended"] == true).then_some(&Value::Null));
        assert_eq!(of_prompt, expected);
    }
    // Another tokeniser's units are not what the model has learnt.
    let other = demo.copy().unwrap();
    let lock = other.data().join("slam.lock");
    let text = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, text.replace("\"filters\": 40", "\"filters\": 30")).unwrap();
    let said = run(&[
        "generate",
        path(&checkpoint),
        "--prompt",
        path(&prompt),
        "--quick",
        "--data",
        path(&other.data()),
        "--set",
        "tokeniser.features.filters=30",
    ])
    .unwrap();
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(said.stderr.matches("mfcc-25hz").count(), 2, "{}", said.stderr);
}
