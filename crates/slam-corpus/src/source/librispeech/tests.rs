#![allow(clippy::unwrap_used)]
use serde_json::json;
use std::path::Path;

use crate::source::testing::{ids, run, tone, write};

#[test]
fn the_public_layout_gives_splits_speakers_and_transcripts() {
    let dir = tempfile::tempdir().unwrap();
    let flac = tone(5, 3200);
    let names = [
        "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac",
        "LibriSpeech/dev-clean/84/121123/84-121123.trans.txt",
        "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac",
        "LibriSpeech/train-clean-100/103/1240/103-1240-0001.flac",
        "LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt",
        "stray.flac",
    ];
    for name in names.iter().filter(|n| Path::new(n).extension().is_some_and(|e| e == "flac")) {
        write(dir.path(), name, &flac);
    }
    write(dir.path(), names[1], "84-121123-0000 GO DO YOU HEAR\n");
    write(dir.path(), names[4], "103-1240-0000 CHAPTER ONE\n103-1240-0001 THAT HAD ITS SOURCE\n");
    let (rows, outcome) = run(dir.path(), json!({"source": {"kind": "librispeech"}}), &names);
    assert_eq!(ids(&rows), ["84-121123-0000", "103-1240-0000", "103-1240-0001"]);
    let row = |i: usize| {
        let r = &rows[i];
        (r.split.as_str(), r.speaker.as_deref().unwrap(), r.text.as_deref().unwrap())
    };
    assert_eq!(row(0), ("validation", "84", "GO DO YOU HEAR"));
    assert_eq!(row(2), ("train", "103", "THAT HAD ITS SOURCE"));
    assert!(rows.iter().all(|r| r.flac == flac), "16 kHz FLAC passes through");
    assert_eq!(outcome.quarantined.len(), 1);
    let refused = &outcome.quarantined[0];
    assert!(refused.id == "stray.flac" && refused.error.contains("split/speaker/chapter"));
}
