//! Parquet files with an `Audio` column, as Hugging Face `datasets` writes them. sTinyStories and most of
//! the hub's speech sets have this form.

mod columns;
mod rows;

use slam_recipe::source::AudioParquet;

use super::{Item, Items, Refused, Sound, Source, SourceError, UnitFiles};

pub(super) use columns::{Audio, Batch, ColumnError};
pub(super) use rows::{Table, read};

/// The columns to read from one file.
struct Chosen {
    audio: String,
    id: Option<String>,
    text: Option<String>,
    words: Option<String>,
    speaker: Option<String>,
}

impl Chosen {
    fn new(source: &AudioParquet, table: &Table) -> Result<Self, SourceError> {
        table.need(&source.audio)?;
        let named = |column: &Option<String>, default: &str| match column {
            Some(name) => table.need(name).map(|()| Some(name.clone())),
            None => Ok(table.has(default).then(|| default.to_owned())),
        };
        let id =
            source.id.as_ref().map(|name| table.need(name).map(|()| name.clone())).transpose()?;
        Ok(Self {
            audio: source.audio.clone(),
            id,
            text: named(&source.text, "text")?,
            words: named(&source.words, "aligned_text")?,
            speaker: named(&source.speaker, "speaker")?,
        })
    }
}

impl Source for AudioParquet {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let split = self.split.clone();
        read(
            unit,
            |table| {
                let chosen = Chosen::new(self, table)?;
                let columns = [
                    Some(&chosen.audio),
                    chosen.id.as_ref(),
                    chosen.text.as_ref(),
                    chosen.words.as_ref(),
                    chosen.speaker.as_ref(),
                ];
                Ok((columns.into_iter().flatten().cloned().collect(), chosen))
            },
            move |batch, chosen| {
                let audio = batch.audio(&chosen.audio)?;
                let optional = |name: &Option<String>| match name {
                    Some(name) => batch.strings(name),
                    None => Ok(vec![None; batch.len()]),
                };
                let mut texts = optional(&chosen.text)?.into_iter();
                let mut speakers = optional(&chosen.speaker)?.into_iter();
                let mut ids = optional(&chosen.id)?.into_iter();
                let mut words = match &chosen.words {
                    Some(name) => batch.words(name)?,
                    None => vec![None; batch.len()],
                }
                .into_iter();
                let items = audio.into_iter().enumerate().map(|(i, audio)| {
                    let own = ids.next().flatten();
                    let (text, speaker) = (texts.next().flatten(), speakers.next().flatten());
                    let words = words.next().flatten();
                    let origin = batch.origin(i);
                    let id = match (own, &chosen.id) {
                        (Some(id), _) => id,
                        (None, None) => batch.id(i),
                        (None, Some(column)) => {
                            let error = format!("the row has no '{column}'");
                            return Err(Refused::new(batch.id(i), origin, error));
                        }
                    };
                    let sound = Sound::Bytes(bytes(audio, &id, &origin)?);
                    Ok(Item { speaker, text, words, ..Item::new(id, origin, &split, sound) })
                });
                Ok(items.collect())
            },
        )
    }
}

/// Returns a row's recording. Rows that only name a file are refused.
pub(super) fn bytes(audio: Option<Audio>, id: &str, origin: &str) -> Result<Vec<u8>, Refused> {
    match audio {
        Some(Audio::Bytes(bytes)) => Ok(bytes),
        Some(Audio::Path(path)) => Err(Refused::new(
            id,
            origin,
            format!(
                "the row only names the file '{path}', its audio has no bytes; embed the files \
                 (datasets: cast the column to Audio(decode=False) and write with embedded storage)"
            ),
        )),
        None => Err(Refused::new(id, origin, "the row has no audio")),
    }
}

#[cfg(test)]
mod tests;
