//! ZeroSpeech 2021's sLM21 data set (Nguyen et al. 2020): sWUGGY and sBLIMP with `gold.csv`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slam_recipe::BenchmarkItem;
use slam_recipe::gold::{self, GoldRow};
use slam_recipe::source::{Suite, Task};

use super::listing::{Listing, folder_and_stem, name_or, recordings, refused};
use crate::source::{SourceError, SourceFile};

const GOLD: &str = "gold.csv";

/// The folder with `gold.csv`, and the split it is of, where that is known.
fn locate(suite: &Suite, folder: &Path) -> (PathBuf, Option<String>) {
    if folder.join(GOLD).is_file() {
        let named = |split: &&str| folder.components().any(|c| c.as_os_str() == *split);
        let split = ["dev", "test"].into_iter().find(named).map(str::to_owned);
        return (folder.to_owned(), suite.split.clone().or(split));
    }
    let task = suite.task.unwrap_or(Task::Lexical);
    let split = suite.split.clone().unwrap_or_else(|| "dev".to_owned());
    (folder.join(task.folder()).join(&split), Some(split))
}

pub(super) fn list(suite: &Suite, folder: &Path) -> Result<Listing, SourceError> {
    let (folder, split) = locate(suite, folder);
    let gold = gold::read(&folder.join(GOLD))?;
    let name = gold.task.suite();
    let own = split.as_ref().map_or(name.to_owned(), |split| format!("{name}-{split}"));
    let name = name_or(suite, &own);
    let mut listing = Listing { split, ..Listing::default() };
    let left_out = gold
        .refused
        .into_iter()
        .map(|r| refused(&r.id, &format!("{GOLD} line {}", r.line), "unusable rows", r.error));
    listing.refused.extend(left_out);
    let mut files: BTreeMap<String, SourceFile> = BTreeMap::new();
    for file in recordings(&folder, &mut listing)? {
        let (_, stem) = folder_and_stem(&file.relative);
        let stem = stem.to_owned();
        if let Some(other) = files.get(&stem) {
            listing.refuse(&file, "twice", format!("{} has the same name", other.relative));
        } else {
            files.insert(stem, file);
        }
    }
    for GoldRow { line, item } in gold.rows {
        let item = BenchmarkItem { suite: name.clone(), ..item };
        let stem = item.file.clone().unwrap_or_default();
        match files.remove(&stem) {
            Some(file) => listing.add(item, file),
            None => listing.refused.push(refused(
                &item.utterance_id(),
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
