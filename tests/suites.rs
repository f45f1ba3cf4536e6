//! A suite in its public layout, from recordings to scores, a submission and back.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use slam_tests::{Demo, Said, run, wav, workspace};

/// A 16 kHz WAV file of a melody, 0.2 s a note.
fn write_wav(path: &Path, notes_hz: &[f64]) {
    let samples = notes_hz.iter().flat_map(|hz| {
        (0..3200).map(move |i| {
            let phase = f64::from(i) / 16_000.0 * hz * std::f64::consts::TAU;
            // Two harmonics: a bare sine leaves most mel bands empty.
            (6000.0 * phase.sin() + 3000.0 * (3.0 * phase).sin()) as i16
        })
    });
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, wav::of(samples)).unwrap();
}

/// The quick demo's settings, so that its centroids are found and the suite gets the model's own units.
const QUICK: [&str; 6] = [
    "datasets.demo-stories.shards=3",
    "datasets.demo-stories.rows=120",
    "tokeniser.kmeans.k=50",
    "tokeniser.kmeans.rounds=8",
    "tokeniser.kmeans.max_frames=20000",
    "tokeniser.fit_shards=1",
];

fn ok(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said.stdout
}

#[test]
fn zerospeechs_recordings_become_scores_and_a_submission() {
    let demo = Demo::finished().copy().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("sLM21");
    let mut gold = String::from("filename,id,voice,frequency,word,phones,length,correct\n");
    let notes = [220.0, 330.0, 440.0, 550.0, 700.0, 900.0];
    let mut row = |file: &str, id: usize, voice: &str, correct: u8, there: bool, shift: usize| {
        writeln!(gold, "{file},{id},{voice},{},w,p,1,{correct}", 3 * id).unwrap();
        let melody: Vec<f64> = (0..5).map(|i| notes[(i * (id + 1) + shift) % 6]).collect();
        if there {
            write_wav(&suite.join(format!("lexical/dev/{file}.wav")), &melody);
        }
    };
    for (i, voice) in ["A", "B"].into_iter().enumerate() {
        row(&format!("p1{voice}"), 1, voice, 1, true, i);
        row(&format!("n1{voice}"), 1, voice, 0, true, i + 3);
    }
    row("p2", 2, "A", 1, true, 0);
    row("n2", 2, "A", 0, true, 4);
    // A pair of one sound, a row without its recording, and so a recording without its mate.
    row("p3", 3, "A", 1, true, 0);
    row("n3", 3, "A", 0, true, 0);
    row("p4", 4, "A", 1, true, 0);
    row("n4", 4, "A", 0, false, 0);
    fs::write(suite.join("lexical/dev/gold.csv"), gold).unwrap();
    write_wav(&suite.join("lexical/dev/stray.wav"), &notes);

    let mut text = fs::read_to_string(workspace().join("pipelines/demo.toml")).unwrap();
    write!(text, "\n[[datasets]]\nname = \"words\"\nrole = \"benchmark\"\n\
         source = {{ kind = \"suite\", layout = \"zerospeech\", folder = {suite:?}, task = \"lexical\", \
         split = \"dev\" }}\n").unwrap();
    let pipeline = folder.path().join("with-suite.toml");
    fs::write(&pipeline, text).unwrap();
    let [pipeline, data, checkpoint, out, submission, suite] = [
        pipeline,
        demo.data(),
        demo.run().join("pretrain/final"),
        folder.path().join("scores.parquet"),
        folder.path().join("submission"),
        suite,
    ]
    .map(|p| p.display().to_string());
    let with = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--pipeline", &pipeline, "--data", &data]);
        all.extend(QUICK.iter().flat_map(|set| ["--set", set]));
        run(&all).unwrap()
    };
    let strict = with(&["prepare-data", "--dataset", "words"]);
    assert_eq!(strict.code, Some(3), "more is left out than 1 %: {}", strict.stderr);
    ok(with(&["prepare-data", "--dataset", "words", "--max-bad-fraction", "1"]));
    let said = ok(with(&[
        "evaluate",
        &checkpoint,
        "--suite",
        "words",
        "--convention",
        "zerospeech",
        "--out",
        &out,
        "--submission",
        &submission,
    ]));
    for text in [
        "swuggy-dev",
        "zerospeech",
        "in-vocabulary",
        "3 rows, split dev",
        "1 identical",
        "1 recordings without a row",
        "1 rows without a recording",
        "1 without mate",
        "lexical/dev.txt (6 lines)",
    ] {
        assert!(said.contains(text), "no '{text}' in {said}");
    }
    // The submission scores as the model did, to the last digit.
    let again = ok(run(&["evaluate", "--score", &submission, "--gold", &suite]).unwrap());
    let line =
        |text: &str| text.lines().find(|l| l.starts_with("swuggy-dev")).map(str::to_owned).unwrap();
    assert_eq!(line(&said), line(&again));
    assert!(again.contains("3 pairs") && again.contains("rows without a score"), "{again}");
}
