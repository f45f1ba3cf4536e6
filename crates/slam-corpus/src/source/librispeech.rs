//! LibriSpeech: `split/speaker/chapter/speaker-chapter-utterance.flac` with `speaker-chapter.trans.txt`.

use std::collections::HashMap;
use std::fs;

use slam_recipe::source::LibriSpeech;

use super::{Item, Items, Refused, Sound, Source, SourceError, UnitFile, UnitFiles};

const TRANSCRIPT: &str = ".trans.txt";

impl Source for LibriSpeech {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let (transcripts, audio): (Vec<_>, Vec<_>) =
            unit.files.into_iter().partition(|f| f.entry.name.ends_with(TRANSCRIPT));
        let mut texts = HashMap::new();
        for file in transcripts {
            let text = fs::read_to_string(&file.path)
                .map_err(|source| SourceError::Read { path: file.path.clone(), source })?;
            for line in text.lines() {
                if let Some((id, text)) = line.split_once(' ') {
                    texts.insert(id.to_owned(), text.trim().to_owned());
                }
            }
        }
        let items = audio.into_iter().map(|file| item(file, &mut texts));
        Ok(Items::new(items.collect()))
    }
}

fn item(file: UnitFile, texts: &mut HashMap<String, String>) -> Result<Item, Refused> {
    let name = &file.entry.name;
    let (folder, stem) = file.entry.folder_and_stem();
    let mut above = folder.rsplit('/');
    let (Some(_chapter), Some(speaker), Some(part)) = (above.next(), above.next(), above.next())
    else {
        return Err(Refused::new(
            name,
            name,
            "not of the form split/speaker/chapter/file.flac; name the folder that holds train-clean-100 and \
             the others",
        ));
    };
    let split = match part.split('-').next() {
        Some("dev") => "validation",
        Some("test") => "test",
        _ => "train",
    };
    Ok(Item {
        speaker: Some(speaker.to_owned()),
        text: texts.remove(stem),
        ..Item::new(stem, name, split, Sound::File(file.path.clone()))
    })
}

#[cfg(test)]
mod tests;
