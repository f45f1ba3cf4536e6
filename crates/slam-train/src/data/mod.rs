//! Unit shards as token samples: read once into a memory-mapped file, mixed by weights or repetitions.

mod mixture;
mod selection;
mod statistics;
mod tokens;

use std::path::Path;

use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;
use slam_recipe::Key;
pub use slam_recipe::request::UnitShards;

use crate::config_error::ConfigError;
use crate::error::TrainError;

pub use mixture::Mixture;
pub use selection::Selection;
pub use statistics::{SplitStatistics, Statistics};
pub use tokens::Samples;

pub(crate) use mixture::{choose, rates};
use selection::Use;
use tokens::{Index, Writer};

/// Training and validation samples, and the tokeniser that made them all.
#[derive(Debug)]
pub struct Corpus {
    /// Samples to train on.
    pub train: Samples,
    /// Samples that are held out.
    pub validation: Samples,
    /// What each dataset holds, in the order given; training samples lie in the same order.
    pub datasets: Vec<Statistics>,
    /// What made the units.
    pub tokeniser: TokeniserInfo,
}

impl Corpus {
    /// Opens the token files in `folder`, made of unit shards whose content `data_key` identifies; they are
    /// written where they are missing, or are those of other shards or another selection.
    ///
    /// # Errors
    /// If a shard cannot be read, has a unit beyond its tokeniser's k, or comes from another tokeniser than
    /// the first; if there is nothing to train on; or if the disk refuses.
    pub fn open(
        folder: &Path,
        datasets: &[UnitShards],
        data_key: &Key,
        selection: &Selection,
    ) -> Result<Self, TrainError> {
        let what: Vec<_> = datasets.iter().map(|d| (&d.name, d.shards.len())).collect();
        let what = serde_json::json!({"selection": selection, "datasets": what});
        let key = Key::of_work("tokens", 1, &what, [data_key]);
        let index = match Index::read(folder, &key) {
            Some(index) => index,
            None => write(folder, datasets, &key, selection)?,
        };
        let (train, validation) = tokens::open(folder)?;
        if train.is_empty() {
            return Err(ConfigError::NoRows.into());
        }
        let Index { datasets, tokeniser, .. } = index;
        Ok(Self { train, validation, datasets, tokeniser })
    }
}

/// Reads all shards and writes the token files.
fn write(
    folder: &Path,
    datasets: &[UnitShards],
    key: &Key,
    selection: &Selection,
) -> Result<Index, TrainError> {
    let mut found: Option<(TokeniserInfo, &Path)> = None;
    let mut writer = Writer::create(folder)?;
    let mut all = Vec::new();
    for dataset in datasets {
        let mut counter = statistics::Counter::new(&dataset.name);
        for path in &dataset.shards {
            let reader = ShardReader::<UnitSequence>::open(path)?;
            let info = tokeniser_of(path, reader.metadata())?;
            let k = info.k;
            match &found {
                Some((first, first_path)) => same_tokeniser(path, &info, first_path, first)?,
                None => found = Some((info, path)),
            }
            for row in reader {
                let row = row?;
                if let Some(unit) = row.units.iter().find(|&&u| u32::from(u) >= k) {
                    let (path, unit) = (path.clone(), *unit);
                    return Err(TrainError::Unit { path, row: row.id, unit, k });
                }
                let chosen = selection.of(&row);
                counter.count(chosen, &row.units);
                match chosen {
                    Use::Train => writer.train.push(&row.id, &row.units)?,
                    Use::Validation => writer.validation.push(&row.id, &row.units)?,
                    Use::TooShort | Use::TooLong | Use::OtherSplit => {}
                }
            }
        }
        all.push(counter.finish());
    }
    let Some((tokeniser, _)) = found else {
        return Err(ConfigError::NoShards.into());
    };
    writer.publish(Index { key: key.clone(), tokeniser, datasets: all })
}

/// The tokeniser a shard names, which must fit 16-bit tokens.
pub(crate) fn tokeniser_of(
    path: &Path,
    metadata: &std::collections::BTreeMap<String, String>,
) -> Result<TokeniserInfo, TrainError> {
    let most = u32::from(u16::MAX) - slam_lm::FIRST_UNIT;
    match TokeniserInfo::from_metadata(metadata) {
        Ok(info) if (1..=most).contains(&info.k) => Ok(info),
        Ok(info) => Err(TrainError::Vocabulary { path: path.to_owned(), k: info.k, most }),
        Err(e) => Err(TrainError::NoTokeniser { path: path.to_owned(), source: e }),
    }
}

/// Refuses to mix what two tokenisers made.
pub(crate) fn same_tokeniser(
    path: &Path,
    info: &TokeniserInfo,
    other_path: &Path,
    other: &TokeniserInfo,
) -> Result<(), TrainError> {
    if info.identity == other.identity {
        return Ok(());
    }
    let name = |i: &TokeniserInfo| format!("{} ({})", i.name, i.identity.short());
    Err(TrainError::Tokeniser {
        what: path.display().to_string(),
        found: name(info),
        expected_by: other_path.display().to_string(),
        expected: name(other),
    })
}

#[cfg(test)]
mod tests;
