#![allow(clippy::unwrap_used)]
use serde_json::json;
use slam_audio::Activity;

use super::*;
use crate::source::testing::{ids, run, tone, write};
use slam_recipe::params::FileEntry;

use crate::source::UnitFile;

const RECORDING: &str = "small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb";

#[test]
fn the_public_layout_gives_speakers_and_voice_activity() {
    let dir = tempfile::tempdir().unwrap();
    let (flac, list) = (format!("{RECORDING}.flac"), format!("{RECORDING}.json"));
    write(dir.path(), &flac, tone(2, 32_000));
    let description = json!({
        "speaker": "100", "snr": 9.6, "book_meta": {"id": "1", "title": "The Sea Fairies"},
        "voice_activity": [[0.1, 0.9], [1.2, 1.9]],
    });
    write(dir.path(), &list, description.to_string());
    write(dir.path(), "small/7/book/x.flac", tone(2, 16_000));
    write(dir.path(), "small/7/book/y.flac", tone(2, 16_000));
    write(dir.path(), "small/7/book/y.json", b"{\"voice_activity\": 3}");
    let names = [&flac, &list, "small/7/book/x.flac", "small/7/book/y.flac", "small/7/book/y.json"];
    let params = json!({"source": {"kind": "libri-light", "validation_percent": 0.0}});
    let (rows, outcome) = run(dir.path(), params, &names);
    assert_eq!(ids(&rows), [RECORDING, "small/7/book/x"]);
    assert_eq!(rows[0].speaker.as_deref(), Some("100"));
    assert_eq!(outcome.quarantined.len(), 1);
    assert_eq!(outcome.quarantined[0].source, "small/7/book/y.json");

    let file = |name: &str| UnitFile {
        entry: FileEntry { name: name.to_owned(), ..FileEntry::default() },
        path: dir.path().join(name),
    };
    let unit = UnitFiles { files: vec![file(&flac), file(&list)], ..UnitFiles::default() };
    let source = LibriLight { folder: None, subsets: None, validation_percent: 1.0 };
    let item = source.items(unit).unwrap().stream.next().unwrap();
    assert_eq!(item.unwrap().activity, Activity::Given(vec![(0.1, 0.9), (1.2, 1.9)]));
}

#[test]
fn about_the_wanted_share_of_books_is_held_out_and_more_of_them_keep_the_first() {
    let held = |percent: f64| -> Vec<u32> {
        (0..20_000).filter(|i| held_out(&format!("{}-{i}", i / 3), percent)).collect()
    };
    let (one, two) = (held(1.0), held(2.0));
    assert!((150..250).contains(&one.len()), "{}", one.len());
    assert!((330..470).contains(&two.len()), "{}", two.len());
    assert!(one.iter().all(|b| two.contains(b)));
    assert!(held(0.0).is_empty());
    assert_eq!(held(100.0).len(), 20_000);
}
