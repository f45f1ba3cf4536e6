//! Audio files of any layout, one utterance each, and manifests of such files.

use slam_recipe::source::Folder;

use super::{
    Item, Items, Sound, Source, SourceError, UnitFile, UnitFiles, check_percent, held_out,
};

impl Source for Folder {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        check_percent("folder", self.validation_percent)?;
        let items = unit.files.into_iter().map(|file| Ok(item(file, self)));
        Ok(Items::new(items.collect()))
    }
}

fn item(file: UnitFile, source: &Folder) -> Item {
    let UnitFile { entry, path } = file;
    // Keep the ending: `a.wav` and `a.mp3` are two recordings.
    let of_item = || entry.item.as_ref().map(slam_recipe::Item::utterance_id);
    let id = entry.id.clone().or_else(of_item).unwrap_or_else(|| entry.name.clone());
    let split = entry.split.unwrap_or_else(|| {
        // A speaker is in one split alone; so are the parts of one file.
        let whose = entry.speaker.as_deref().unwrap_or(&entry.name);
        let validates = source.split == "train" && held_out(whose, source.validation_percent);
        if validates { "validation".to_owned() } else { source.split.clone() }
    });
    let span = (entry.start.is_some() || entry.end.is_some())
        .then(|| (entry.start.unwrap_or(0.0), entry.end));
    Item {
        speaker: entry.speaker,
        text: entry.text,
        span,
        item: entry.item,
        ..Item::new(id, entry.name, split, Sound::File(path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use slam_recipe::item::{Item, PairSegment, Segment};

    use crate::source::testing::{ids, run, tone, try_run, write};

    #[test]
    fn files_that_differ_in_their_ending_alone_are_two_utterances() {
        let dir = tempfile::tempdir().unwrap();
        let flac = tone(3, 1600);
        write(dir.path(), "b/a.flac", &flac);
        write(dir.path(), "b/a.wav", &flac);
        let params = json!({"source": {"kind": "folder"}});
        let (rows, _) = run(dir.path(), params, &["b/a.flac", "b/a.wav"]);
        assert_eq!(ids(&rows), ["b/a.flac", "b/a.wav"]);
        assert_eq!((rows[0].path.as_str(), &rows[0].flac), ("a.flac", &flac));
    }

    #[test]
    fn a_share_of_the_files_is_held_out_by_speaker_where_known() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.flac", tone(3, 16_000));
        let held = |source: serde_json::Value| -> Vec<bool> {
            let file = |i| json!({"name": "a.flac", "id": format!("{i}"), "speaker": format!("s{}", i / 2)});
            let files: Vec<_> = (0..100).map(file).collect();
            let params = json!({"source": source, "files": files});
            let (rows, _) = run(dir.path(), params, &["a.flac"; 100]);
            rows.iter().map(|row| row.split == "validation").collect()
        };
        let some = held(json!({"kind": "folder", "validation_percent": 20.0}));
        let count = some.iter().filter(|held| **held).count();
        assert!((6..=40).contains(&count), "{count} of 100");
        assert!(some.chunks(2).all(|of_one| of_one[0] == of_one[1]), "a speaker is in two splits");
        // More are held out where the share is larger, and those of the smaller share stay.
        let more = held(json!({"kind": "folder", "validation_percent": 60.0}));
        assert!(some.iter().zip(&more).all(|(some, more)| more >= some));
        assert!(!held(json!({"kind": "folder", "validation_percent": 0.0})).contains(&true));
        assert!(
            !held(json!({"kind": "folder", "split": "test", "validation_percent": 60.0}))
                .contains(&true)
        );
        let none = json!({"source": {"kind": "folder", "validation_percent": 101.0}});
        assert!(try_run(dir.path(), none, &["a.flac"]).unwrap_err().to_string().contains("101"));
    }

    #[test]
    fn a_plan_may_know_more_of_a_file_than_its_name() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.flac", tone(3, 16_000));
        let files = json!([
            {"name": "a.flac", "id": "x", "text": "hi", "split": "test", "start": 0.25, "end": 0.75},
            {"name": "a.flac", "speaker": "s", "start": 0.5,
             "item": {"pair": {"pair": "p", "segment": "chosen"}}},
            {"name": "a.flac", "id": "z", "start": 2.0},
        ]);
        let params = json!({"source": {"kind": "folder"}, "files": files});
        let (rows, outcome) = run(dir.path(), params, &["a.flac"; 3]);
        assert_eq!(ids(&rows), ["x", "p/chosen"]);
        let chosen = PairSegment { pair: "p".into(), segment: Segment::Chosen };
        assert_eq!((&rows[0].item, &rows[1].item), (&None, &Some(Item::Pair(chosen))));
        assert_eq!((rows[0].num_samples, rows[1].num_samples), (8000, 8000));
        assert_eq!((rows[0].text.as_deref(), rows[0].split.as_str()), (Some("hi"), "test"));
        assert_eq!((rows[1].speaker.as_deref(), rows[1].split.as_str()), (Some("s"), "train"));
        let error = &outcome.quarantined[0].error;
        assert!(error.contains("1.000 s") && error.contains("from 2 s"), "{error}");
    }
}
