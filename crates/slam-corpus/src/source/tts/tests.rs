#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};
use std::fmt::Write as _;

use crate::source::testing::{ids, parquet, run, text, try_run, wav, write};

/// A command that speaks every text as the same short sound.
fn engine(root: &std::path::Path) -> Value {
    write(root, "sound.wav", wav(22_050, &[500; 2205]));
    json!({"command": format!("cat >/dev/null; cat '{}'", root.join("sound.wav").display())})
}

#[test]
fn tables_of_every_form_are_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    write(
        dir.path(),
        "a.tsv",
        "id\ttext\tvoice\tsplit\nx\tSay \"this\".\tbf_emma\ttest\ny\t\t\t\n",
    );
    write(dir.path(), "b.csv", "text\n\"Well, well.\"\n");
    write(dir.path(), "c.jsonl", "{\"id\": 7, \"text\": \"Seven.\"}\n\nnonsense\n");
    parquet(dir.path(), "d.parquet", vec![("text", text(&[Some("Eight."), None]))]);
    let names = ["a.tsv", "b.csv", "c.jsonl", "d.parquet"];
    let source = json!({"kind": "tts", "engine": engine, "voices": ["am_fenrir"]});
    let (rows, outcome) = run(dir.path(), json!({"source": source}), &names);
    assert_eq!(ids(&rows), ["x", "b/0000000", "7", "d/0000000"]);
    let first = &rows[0];
    assert_eq!((first.text.as_deref(), first.split.as_str()), (Some("Say \"this\"."), "test"));
    assert_eq!((first.speaker.as_deref(), first.num_samples), (Some("bf_emma"), 1600));
    assert_eq!((first.source_rate_hz, first.path.as_str()), (22_050, "x.flac"));
    assert_eq!(rows[1].speaker.as_deref(), Some("am_fenrir"));
    let refused: Vec<_> = outcome.quarantined.iter().map(|q| q.id.as_str()).collect();
    assert_eq!(refused, ["y", "c.jsonl line 3", "d/0000001"]);
}

#[test]
fn a_pair_is_spoken_by_one_voice_and_parts_keep_pairs_whole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut table = "prompt_text\tchosen_text\trejected_text\n".to_owned();
    for i in 0..9 {
        writeln!(table, "p{i}\tc{i}\tr{i}").unwrap();
    }
    write(dir.path(), "swag.tsv", table);
    let voices = ["af_heart", "am_fenrir", "bf_emma", "bm_george"];
    let source = json!({"kind": "tts", "engine": engine, "voices": voices});
    let mut rows = Vec::new();
    for i in 0..2 {
        let params = json!({"source": source, "part": [i, 2]});
        rows.push(run(dir.path(), params, &["swag.tsv"]).0);
    }
    assert_eq!([rows[0].len(), rows[1].len()], [12, 15]);
    let rows = rows.concat();
    assert_eq!(rows[26].id, "swag/0000008/rejected");
    for pair in rows.chunks(3) {
        assert!(pair.iter().all(|r| r.speaker == pair[0].speaker));
    }
    let distinct: std::collections::BTreeSet<_> = rows.iter().map(|r| &r.speaker).collect();
    assert!(distinct.len() > 1, "{distinct:?}");
}

#[test]
fn a_table_without_texts_says_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.tsv", "id\tsentence\n1\thello\n");
    let params = json!({"source": {"kind": "tts"}});
    let error = try_run(dir.path(), params, &["a.tsv"]).unwrap_err().to_string();
    assert!(error.contains("'text'") && error.contains("sentence"), "{error}");
    let params = json!({"source": {"kind": "tts", "voices": []}});
    let error = try_run(dir.path(), params, &["a.tsv"]).unwrap_err().to_string();
    assert!(error.contains("af_heart"), "{error}");
}
