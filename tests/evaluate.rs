//! Scores that are there: any table again, comparisons, submissions, curves over checkpoints.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use slam_tests::{Demo, Said, pipeline_of, run};

fn ok(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

fn scores(demo: &Demo, name: &str) -> String {
    demo.run().join("scores").join(format!("{name}.parquet")).display().to_string()
}

#[test]
fn any_table_is_made_again_without_the_model() {
    let demo = Demo::finished().copy().unwrap();
    fs::remove_dir_all(demo.run().join("pretrain")).unwrap();
    let (first, last) = (scores(&demo, "before-training"), scores(&demo, "pretrained"));
    let table = ok(run(&["evaluate", "--from", &last, "--convention", "slm-scaling"]).unwrap());
    for text in ["lexical", "50 %", "slm-scaling", "split test", "nothing left out", "blake3"] {
        assert!(table.contains(text), "no '{text}' in {table}");
    }
    let table = ok(run(&["evaluate", "--from", &first, &last]).unwrap());
    assert!(table.contains("difference [95 % interval]"), "{table}");
    let table = ok(run(&["evaluate", "--from", &first, &last, "--seeds"]).unwrap());
    assert!(table.contains("range over seeds") && table.contains("lexical"), "{table}");
    let alone = run(&["evaluate", "--from", &last, "--seeds"]).unwrap();
    assert!(alone.code == Some(1) && alone.stderr.contains("two runs"), "{}", alone.stderr);
    // The demo's own suites are none of ZeroSpeech's.
    let out = demo.run().join("submission").display().to_string();
    let said = run(&["evaluate", "--from", &last, "--submission", &out]).unwrap();
    assert!(said.stderr.contains("swuggy-dev"), "{}", said.stderr);
    assert_eq!(run(&["evaluate"]).unwrap().code, Some(2));
}

#[test]
fn a_finished_run_keeps_its_pipeline_whatever_is_asked_of_it() {
    let demo = Demo::finished().copy().unwrap();
    let (folder, file) = (demo.run().display().to_string(), demo.run().join("run.json"));
    let before = fs::read(&file).unwrap();
    let data = demo.data().display().to_string();
    let one = ["evaluate", &folder, "--data", &data, "--suite", "demo-lexical"];
    assert!(!ok(run(&one).unwrap()).contains("syntactic"));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(ok(run(&["evaluate", &folder]).unwrap()).contains("syntactic"));
    // A run that another command names and that is refused before it trains.
    let pipeline = demo.run().join("other.toml").display().to_string();
    fs::write(&pipeline, toml::to_string(&pipeline_of(&demo.run())).unwrap()).unwrap();
    let other = ["train", "--pipeline", &pipeline, "--data", &data, "--run", &folder];
    let set = ["--set", "train.params.optimiser.peak_lr=1e-9", "--device", "wgpu:99"];
    let said = run(&[&other[..], &set].concat()).unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    // What a run's commands would ignore.
    for ignored in [
        &["report", &folder, "--set", "train.params.seed=9"][..],
        &["evaluate", &folder, "--set", "train.params.seed=9"],
        &["evaluate", &folder, "--out", "scores.parquet"],
        &["evaluate", &folder, "--pipeline", "slam"],
        &["train", "--resume", &folder, "--set", "train.params.seed=9"],
    ] {
        let said = run(ignored).unwrap();
        assert_eq!(said.code, Some(2), "{ignored:?}: {said:?}");
    }
}

#[test]
fn a_run_whose_data_lies_elsewhere_is_told_where_and_an_unfinished_one_is_named() {
    let demo = Demo::finished().copy().unwrap();
    let (folder, file) = (demo.run().display().to_string(), demo.run().join("run.json"));
    let mut run_file: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    run_file["data"] = "gone".into();
    fs::write(&file, run_file.to_string()).unwrap();
    let said = run(&["report", &folder]).unwrap();
    assert!(said.code == Some(1) && said.stderr.contains("gone"), "{said:?}");
    let data = demo.data().display().to_string();
    for command in
        [&["report", &folder][..], &["evaluate", &folder], &["train", "--resume", &folder]]
    {
        ok(run(&[command, &["--data", &data]].concat()).unwrap());
    }
    fs::remove_dir_all(demo.run().join("pretrain/final")).unwrap();
    fs::remove_file(demo.run().join("scores/pretrained.parquet")).unwrap();
    for command in ["report", "evaluate"] {
        let said = run(&[command, &folder, "--data", &data]).unwrap();
        assert_eq!(said.code, Some(1), "{said:?}");
        let hint = "is not finished, it has no";
        assert!(said.stderr.contains(hint) && said.stderr.contains("--resume"), "{}", said.stderr);
    }
}

#[test]
fn someone_elses_submission_is_scored_by_the_gold_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let gold = write(
        "data/syntactic/dev/gold.csv",
        "filename,id,voice,type,subtype,transcription,correct\n\
         a,1,A,agreement,noun,right,1\nb,1,A,agreement,noun,wrong,0\n\
         c,2,A,npi,only,right,1\nd,2,A,npi,only,wrong,0\ne,3,A,npi,only,right,1\n",
    );
    let file = write("theirs/syntactic/dev.txt", "a -1.0\nb -2.0\nc -3.0\nd -2.0\nf 0.5\n");
    let out = folder.path().join("scores.parquet").display().to_string();
    let by_file = ["evaluate", "--score", &file, "--gold", &gold, "--out", &out];
    let data = folder.path().join("data").display().to_string();
    let theirs = folder.path().join("theirs").display().to_string();
    for said in
        [run(&by_file).unwrap(), run(&["evaluate", "--score", &theirs, "--gold", &data]).unwrap()]
    {
        let table = ok(said);
        for text in ["sblimp-dev", "50.0 % [", "zerospeech", "agreement", "100.0 % ["] {
            assert!(table.contains(text), "no '{text}' in {table}");
        }
        assert!(table.contains("1 rows without a score, 1 scores without a row"), "{table}");
    }
    let table = ok(run(&["evaluate", "--from", &out]).unwrap());
    assert!(table.contains("sblimp-dev"), "{table}");
    // And the other way: scores become the files that were read.
    let back = folder.path().join("back");
    let folder_of = back.display().to_string();
    ok(run(&["evaluate", "--from", &out, "--submission", &folder_of]).unwrap());
    let lines = fs::read_to_string(back.join("syntactic/dev.txt")).unwrap();
    assert_eq!(lines, "a -1.0\nb -2.0\nc -3.0\nd -2.0\n");
    assert!(back.join("meta.yaml").is_file());
    write("theirs/syntactic/dev.txt", "a one\n");
    let said = run(&by_file).unwrap();
    assert!(said.code == Some(1) && said.stderr.contains("dev.txt line 1"), "{}", said.stderr);
}

#[test]
fn every_checkpoint_of_a_run_is_scored_and_drawn() {
    let demo = Demo::finished().copy().unwrap();
    let run_folder = demo.run().display().to_string();
    let steps: Vec<String> = fs::read_dir(demo.run().join("pretrain/checkpoints"))
        .map(|entries| entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    assert!(!steps.is_empty(), "the quick demo leaves a checkpoint");
    ok(run(&["evaluate", &run_folder, "--every-checkpoint"]).unwrap());
    for step in &steps {
        let path = scores(&demo, &format!("pretrain-{step}"));
        assert!(Path::new(&path).is_file(), "{path}");
    }
    let html = fs::read_to_string(demo.run().join("report.html")).unwrap();
    assert!(html.contains("Scores of checkpoints, of all pairs"));
}

#[test]
fn scores_of_checkpoints_of_one_run_do_not_replace_each_other() {
    let demo = Demo::finished().copy().unwrap();
    let data = demo.data().display().to_string();
    let pipeline = demo.run().join("quick.toml").display().to_string();
    fs::write(&pipeline, toml::to_string(&pipeline_of(&demo.run())).unwrap()).unwrap();
    let checkpoints = ["initial", "final"].map(|name| demo.run().join("pretrain").join(name));
    let scored = checkpoints.clone().map(|checkpoint| {
        let folder = checkpoint.display().to_string();
        ok(run(&["evaluate", &folder, "--pipeline", &pipeline, "--data", &data]).unwrap());
        fs::read(checkpoint.join("scores.parquet")).unwrap()
    });
    assert_ne!(scored[0], scored[1]);
    assert_eq!(fs::read(checkpoints[0].join("scores.parquet")).unwrap(), scored[0]);
    // They are the run's own scores, and nothing else is left behind.
    assert_eq!(scored[0], fs::read(scores(&demo, "before-training")).unwrap());
    assert!(!demo.run().join("pretrain/requests").exists());
}

#[test]
fn runs_are_compared_side_by_side() {
    let demo = Demo::finished().copy().unwrap();
    let other = demo.run().with_file_name("other");
    fs::create_dir_all(&other).unwrap();
    let file = fs::read_to_string(demo.run().join("run.json")).unwrap();
    // Another learning rate on paper, whose run is the first one's: the page must name the field.
    fs::write(other.join("run.json"), file.replace("0.002", "0.003")).unwrap();
    for part in ["pretrain", "dpo", "scores"] {
        slam_tests::copy(&demo.run().join(part), &other.join(part)).unwrap();
    }
    let [a, b] = [demo.run(), other].map(|p| p.display().to_string());
    let said = ok(run(&["report", &a, &b]).unwrap());
    assert!(said.contains("other against run") && said.contains("+0.0 [+0.0, +0.0]"), "{said}");
    let html = fs::read_to_string(demo.run().join("compare.html")).unwrap();
    assert!(html.contains("train.params.optimiser.peak_lr"), "the field that differs is named");
    for part in ["id=\"differences\"", "id=\"scores\"", "id=\"figures\"", "id=\"curves\""] {
        assert!(html.contains(part), "no {part}");
    }
}
