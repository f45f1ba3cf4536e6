//! ZeroSpeech 2021's sLM21 data set (Nguyen et al. 2020): sWUGGY and sBLIMP with `gold.csv`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use slam_dataset::ItemKey;
use slam_dataset::gold::{self, GoldRow};

use super::{Listing, Refused, Suite, Task, folder_and_stem, recordings};
use crate::source::{SourceError, SourceFile};

const GOLD: &str = "gold.csv";

/// The folder with `gold.csv`, and the split it is of, where that is known.
fn locate(suite: &Suite) -> (PathBuf, Option<String>) {
    if suite.folder.join(GOLD).is_file() {
        let named = |split: &&str| suite.folder.components().any(|c| c.as_os_str() == *split);
        let split = ["dev", "test"].into_iter().find(named).map(str::to_owned);
        return (suite.folder.clone(), suite.split.clone().or(split));
    }
    let task = suite.task.unwrap_or(Task::Lexical);
    let split = suite.split.clone().unwrap_or_else(|| "dev".to_owned());
    (suite.folder.join(task.folder()).join(&split), Some(split))
}

pub(super) fn list(suite: &Suite) -> Result<Listing, SourceError> {
    let (folder, split) = locate(suite);
    let gold = read(&folder.join(GOLD))?;
    let name = gold.task.suite();
    let own = split.as_ref().map_or(name.to_owned(), |split| format!("{name}-{split}"));
    let name = suite.name_or(&own);
    let mut listing = Listing { split, ..Listing::default() };
    let refused = gold
        .refused
        .into_iter()
        .map(|r| Refused::new(&r.id, &format!("{GOLD} line {}", r.line), "unusable rows", r.error));
    listing.refused.extend(refused);
    let mut files: BTreeMap<String, SourceFile> = BTreeMap::new();
    for file in recordings(&folder)? {
        let (_, stem) = folder_and_stem(&file.relative);
        let stem = stem.to_owned();
        if let Some(other) = files.get(&stem) {
            listing.refuse(&file, "twice", format!("{} has the same name", other.relative));
        } else {
            files.insert(stem, file);
        }
    }
    for GoldRow { line, key } in gold.rows {
        let key = ItemKey { suite: name.clone(), ..key };
        let stem = key.file.clone().unwrap_or_default();
        match files.remove(&stem) {
            Some(file) => listing.add(key, file),
            None => listing.refused.push(Refused::new(
                &key.to_string(),
                &format!("{GOLD} line {line}"),
                "rows without a recording",
                format!("{stem}.wav is not there"),
            )),
        }
    }
    for file in files.values() {
        listing.refuse(file, "recordings without a row", format!("{GOLD} has no row of it"));
    }
    Ok(listing)
}

fn read(path: &Path) -> Result<gold::Gold, SourceError> {
    gold::read(path).map_err(|e| SourceError::Read {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, e.to_string()),
    })
}
