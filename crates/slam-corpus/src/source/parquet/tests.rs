#![allow(clippy::unwrap_used)]
use serde_json::json;

use crate::source::testing::{aligned, audio, ids, parquet, run, text, tone, try_run, wav, write};

#[test]
fn stinystories_rows_have_texts_and_timed_words() {
    let dir = tempfile::tempdir().unwrap();
    let (flac, speech) = (tone(4, 16_000), wav(16_000, &[100; 8000]));
    let name = "data/data-00000-of-02191.parquet";
    parquet(
        dir.path(),
        name,
        vec![
            ("audio", audio(&[Some(&flac), Some(&speech), None, Some(b"noise")])),
            ("text", text(&[Some("One day."), Some("Once."), Some("x"), Some("y")])),
            ("aligned_text", aligned(&[&[("One", 0.0, 0.25), ("day", 0.25, 0.75)], &[], &[], &[]])),
            ("split_sentence", text(&[None; 4])),
        ],
    );
    let (rows, outcome) = run(dir.path(), json!({"source": {"kind": "parquet"}}), &[name]);
    let stem = "data/data-00000-of-02191";
    assert_eq!(ids(&rows), [format!("{stem}/0000000"), format!("{stem}/0000001")]);
    assert_eq!((&rows[0].flac, rows[0].text.as_deref()), (&flac, Some("One day.")));
    let words = rows[0].words.as_ref().unwrap();
    assert_eq!((words[1].word.as_str(), words[1].start, words[1].end), ("day", 0.25, 0.75));
    assert_eq!(rows[1].num_samples, 8000);
    let refused: Vec<_> =
        outcome.quarantined.iter().map(|q| (q.id.as_str(), q.source.as_str())).collect();
    let (a, b) = (format!("{stem}/0000002"), format!("{stem}/0000003"));
    assert_eq!(refused, [(&*a, &*format!("{name} row 2")), (&*b, &*format!("{name} row 3"))]);
    assert!(outcome.quarantined[0].error.contains("only names the file '2.wav'"));
}

#[test]
fn parts_of_a_file_are_its_rows_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let flac = tone(4, 1600);
    let names: Vec<String> = (0..50).map(|i| format!("u{i}")).collect();
    let names: Vec<_> = names.iter().map(|n| Some(n.as_str())).collect();
    parquet(
        dir.path(),
        "a.parquet",
        vec![("sound", audio(&[Some(&flac[..]); 50])), ("name", text(&names))],
    );
    let source = json!({"kind": "parquet", "audio": "sound", "id": "name", "split": "test"});
    let mut all = Vec::new();
    for i in 0..3 {
        let params = json!({"source": source, "part": [i, 3]});
        let (rows, _) = run(dir.path(), params, &["a.parquet"]);
        assert!((16..18).contains(&rows.len()));
        all.extend(rows.into_iter().map(|r| r.id));
    }
    assert_eq!(all, (0..50).map(|i| format!("u{i}")).collect::<Vec<_>>());
}

#[test]
fn a_missing_column_is_named_and_a_broken_file_costs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let flac = tone(4, 1600);
    parquet(dir.path(), "b.parquet", vec![("audio", audio(&[Some(&flac)]))]);
    write(dir.path(), "a.parquet", b"PAR1 no more");
    let params = json!({"source": {"kind": "parquet"}});
    let (rows, outcome) = run(dir.path(), params, &["a.parquet", "b.parquet"]);
    assert_eq!(ids(&rows), ["b/0000000"]);
    assert_eq!(outcome.quarantined[0].id, "a.parquet");
    let params = json!({"source": {"kind": "parquet", "audio": "wave"}});
    let error = try_run(dir.path(), params, &["b.parquet"]).unwrap_err().to_string();
    assert!(error.contains("'wave'") && error.contains("audio"), "{error}");
}
