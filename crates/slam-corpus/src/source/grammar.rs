//! The demo's texts.

use slam_recipe::source::{Engine, Grammar};

use super::{Item, Items, Sound, Source, SourceError, UnitFiles};
use crate::grammar;

impl Source for Grammar {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let Self { part, seed, voice, .. } = self.clone();
        let (first, end) = unit.rows.unwrap_or((0, 0));
        let lines = move |row| grammar::row(part, seed, &voice, row);
        let voice = self.voice.clone();
        let items = (first..end).flat_map(lines).map(move |line| {
            let sound = Sound::Text { text: line.text.clone(), voice: voice.clone() };
            Ok(Item {
                speaker: Some(voice.clone()),
                text: Some(line.text.clone()),
                item: line.item,
                ..Item::new(line.id, line.text, line.split, sound)
            })
        });
        let lines_a_row = grammar::row(self.part, self.seed, &self.voice, first).len() as u64;
        Ok(Items { total: end.saturating_sub(first) * lines_a_row, stream: Box::new(items) })
    }

    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        Some((&self.engine, self.rate_wpm))
    }
}
