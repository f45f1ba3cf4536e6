//! Libri-Light: `size/speaker/book/recording.flac` with `recording.json`, whose `voice_activity` lists
//! where there is speech.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use slam_audio::Activity;
use slam_recipe::source::LibriLight;

use super::{
    Item, Items, Refused, Sound, Source, SourceError, UnitFile, UnitFiles, check_percent, held_out,
};

/// The part of a recording's description that we read.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    voice_activity: Vec<(f64, f64)>,
}

impl Source for LibriLight {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        check_percent("libri-light", self.validation_percent)?;
        let (lists, audio): (Vec<_>, Vec<_>) = unit
            .files
            .into_iter()
            .partition(|f| Path::new(&f.entry.name).extension().is_some_and(|e| e == "json"));
        let lists: HashMap<String, UnitFile> =
            lists.into_iter().map(|f| (without_ending(&f.entry.name).to_owned(), f)).collect();
        let total = audio.len() as u64;
        let percent = self.validation_percent;
        let stream = audio.into_iter().map(move |file| {
            let list = lists.get(without_ending(&file.entry.name));
            item(&file, list, percent)
        });
        Ok(Items { total, stream: Box::new(stream) })
    }
}

fn without_ending(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn item(file: &UnitFile, list: Option<&UnitFile>, percent: f64) -> Result<Item, Refused> {
    let name = &file.entry.name;
    let (folder, _) = file.entry.folder_and_stem();
    let mut above = folder.rsplit('/');
    let (Some(book), Some(speaker)) = (above.next(), above.next()) else {
        return Err(Refused::new(
            name,
            name,
            "not of the form size/speaker/book/file.flac; name the folder that holds small, medium and large",
        ));
    };
    let activity = match list {
        // Without its list, the recording is cut by the voice activity that we detect.
        None => Activity::Detect,
        Some(list) => {
            let refuse = |e: String| {
                Refused::new(name, &list.entry.name, format!("{e}; fetch the file again"))
            };
            let bytes = fs::read(&list.path).map_err(|e| refuse(e.to_string()))?;
            let description: Description =
                serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
            if description.voice_activity.is_empty() {
                Activity::Detect
            } else {
                Activity::Given(description.voice_activity)
            }
        }
    };
    let split =
        if held_out(&format!("{speaker}-{book}"), percent) { "validation" } else { "train" };
    // Books of the three sizes have different names, but a file name may occur in two books.
    let id = without_ending(name);
    Ok(Item {
        speaker: Some(speaker.to_owned()),
        activity,
        ..Item::new(id, name, split, Sound::File(file.path.clone()))
    })
}

#[cfg(test)]
mod tests;
