//! SpokenSwag (slprl/SpokenSwag): preference pairs, three recordings per row.

use slam_recipe::item::{PairSegment, Segment};
use slam_recipe::source::SpokenSwag;

use super::parquet::{bytes, read};
use super::{Item, Items, Sound, Source, SourceError, UnitFiles};

/// The columns of a segment's recording. Its text is in `<column>_text`.
pub(super) const SEGMENTS: [(Segment, &str); 3] =
    [(Segment::Prompt, "prompt"), (Segment::Chosen, "chosen"), (Segment::Rejected, "rejected")];

impl Source for SpokenSwag {
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError> {
        let split = self.split.clone();
        let mut items = read(
            unit,
            |table| {
                let mut columns = Vec::new();
                for (_, segment) in SEGMENTS {
                    table.need(segment)?;
                    columns.extend([segment.to_owned(), text_column(segment)]);
                }
                columns.push("speaker".to_owned());
                columns.retain(|name| table.has(name));
                Ok((columns.clone(), columns))
            },
            move |batch, columns| {
                let optional = |name: &str| {
                    if columns.iter().any(|c| c == name) {
                        batch.strings(name)
                    } else {
                        Ok(vec![None; batch.len()])
                    }
                };
                let speakers = optional("speaker")?;
                let split = split.as_deref().unwrap_or_else(|| split_of(batch.name()));
                let mut rows: Vec<Vec<_>> = vec![Vec::new(); batch.len()];
                for (segment, column) in SEGMENTS {
                    let texts = optional(&text_column(column))?;
                    for (i, (audio, text)) in
                        batch.audio(column)?.into_iter().zip(texts).enumerate()
                    {
                        let segment = PairSegment { pair: batch.id(i), segment };
                        let (id, item) = (segment.utterance_id(), slam_recipe::Item::Pair(segment));
                        let origin = format!("{}, {column}", batch.origin(i));
                        rows[i].push(bytes(audio, &id, &origin).map(|bytes| Item {
                            speaker: speakers[i].clone(),
                            text,
                            ..Item::of(item, origin, split, Sound::Bytes(bytes))
                        }));
                    }
                }
                Ok(rows.into_iter().flatten().collect())
            },
        )?;
        items.total *= SEGMENTS.len() as u64;
        Ok(items)
    }
}

pub(super) fn text_column(segment: &str) -> String {
    format!("{segment}_text")
}

/// Returns `train` for `data/train-00000-of-00058.parquet`.
fn split_of(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    ["train", "validation", "test"].into_iter().find(|s| file.starts_with(s)).unwrap_or("train")
}

#[cfg(test)]
mod tests;
