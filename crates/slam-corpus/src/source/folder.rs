//! Audio files of any layout, one utterance each, and manifests of such files.

use slam_recipe::source::Folder;

use super::{Item, Items, Sound, Source, SourceError, UnitFile, UnitFiles};

impl Source for Folder {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let items = unit.files.into_iter().map(|file| Ok(item(file, &self.split)));
        Ok(Items::new(items.collect()))
    }
}

fn item(file: UnitFile, split: &str) -> Item {
    let UnitFile { entry, path } = file;
    let split = entry.split.unwrap_or_else(|| split.to_owned());
    // Keep the ending: `a.wav` and `a.mp3` are two recordings.
    let of_item = || entry.item.as_ref().map(slam_recipe::Item::utterance_id);
    let id = entry.id.clone().or_else(of_item).unwrap_or_else(|| entry.name.clone());
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

    use crate::source::testing::{ids, run, tone, write};

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
