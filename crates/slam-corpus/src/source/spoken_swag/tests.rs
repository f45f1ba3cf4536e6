#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use serde_json::json;
use slam_dataset::arrow::array::Float64Array;
use slam_dataset::schema::Utterance;
use slam_recipe::item::{Item, PairSegment, Segment};

use crate::source::testing::{audio, ids, parquet, run, text, tone};

#[test]
fn a_row_is_three_segments_of_one_pair() {
    let dir = tempfile::tempdir().unwrap();
    let sounds = [tone(1, 1600), tone(2, 1600), tone(3, 1600)];
    let [p, c, r] = &sounds;
    let name = "data/validation-00000-of-00002.parquet";
    parquet(
        dir.path(),
        name,
        vec![
            ("speaker", text(&[Some("af_heart"), Some("bm_george")])),
            ("prompt_text", text(&[Some("She sits."), Some("He runs.")])),
            ("chosen_text", text(&[Some("She sings."), Some("He stops.")])),
            ("rejected_text", text(&[Some("She is a tree."), Some("He is salt.")])),
            ("prompt", audio(&[Some(p), Some(p)])),
            ("chosen", audio(&[Some(c), Some(c)])),
            ("rejected", audio(&[Some(r), None])),
            ("auto_bleu2", Arc::new(Float64Array::from(vec![0.0, 0.1]))),
        ],
    );
    let (rows, outcome) = run(dir.path(), json!({"source": {"kind": "spoken-swag"}}), &[name]);
    let pair = |i: u32, segment: &str| format!("data/validation-00000-of-00002/{i:07}/{segment}");
    assert_eq!(
        ids(&rows),
        [
            pair(0, "prompt"),
            pair(0, "chosen"),
            pair(0, "rejected"),
            pair(1, "prompt"),
            pair(1, "chosen")
        ]
    );
    let segment = |row: &Utterance| match &row.item {
        Some(Item::Pair(PairSegment { segment, pair })) => (pair.clone(), *segment),
        other => panic!("{other:?}"),
    };
    let first = "data/validation-00000-of-00002/0000000".to_owned();
    assert_eq!(segment(&rows[1]), (first.clone(), Segment::Chosen));
    assert_eq!(segment(&rows[2]), (first, Segment::Rejected));
    assert_eq!([&rows[0].flac, &rows[1].flac, &rows[2].flac], [p, c, r]);
    assert_eq!(rows[2].text.as_deref(), Some("She is a tree."));
    assert_eq!(
        (rows[3].speaker.as_deref(), rows[3].split.as_str()),
        (Some("bm_george"), "validation")
    );
    assert_eq!(outcome.quarantined[0].id, pair(1, "rejected"));
}
