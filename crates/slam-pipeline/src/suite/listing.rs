//! What a suite's folder holds.

use std::collections::BTreeMap;
use std::path::Path;

use slam_recipe::BenchmarkItem;
use slam_recipe::params::Refused;
use slam_recipe::source::Suite;

use crate::source::{self, SourceError, SourceFile};

/// The reason of files whose names are not of the layout.
pub(super) const NO_ITEM: &str = "files of no item";

/// What a suite's folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Recordings that belong to an item, in the order of their items.
    pub files: Vec<(BenchmarkItem, SourceFile)>,
    /// What does not belong to one, or is announced and not there.
    pub refused: Vec<Refused>,
    /// The split, where the layout says it.
    pub split: Option<String>,
}

/// Something that is left out.
pub(super) fn refused(id: &str, source: &str, reason: &str, error: impl Into<String>) -> Refused {
    let (id, source, reason) = (id.to_owned(), source.to_owned(), reason.to_owned());
    Refused { id, source, reason, error: error.into() }
}

pub(super) fn name_or(suite: &Suite, default: &str) -> String {
    suite.name.clone().unwrap_or_else(|| default.to_owned())
}

impl Listing {
    pub(super) fn add(&mut self, item: BenchmarkItem, file: SourceFile) {
        self.files.push((item, file));
    }

    pub(super) fn refuse(&mut self, file: &SourceFile, reason: &str, error: impl Into<String>) {
        self.refused.push(refused(&file.relative, &file.relative, reason, error));
    }

    /// Keeps the first of several files whose utterances would have one id: ids are unique in a dataset, and a
    /// pair has one file a side.
    pub(super) fn refuse_same_ids(&mut self) {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (item, file) in std::mem::take(&mut self.files) {
            let id = item.utterance_id();
            if let Some(other) = seen.get(&id) {
                let error =
                    format!("{other} is '{id}' already; remove or rename one of the two files");
                self.refuse(&file, "twice", error);
            } else {
                seen.insert(id, file.relative.clone());
                self.add(item, file);
            }
        }
    }
}

/// The recordings of a folder. What cannot be listed is refused.
pub(super) fn recordings(
    folder: &Path,
    listing: &mut Listing,
) -> Result<Vec<SourceFile>, SourceError> {
    let listed = source::list_folder(folder)?;
    listing.refused.extend(listed.refused);
    Ok(listed.files)
}

/// A number of digits alone: Rust's own parser takes a sign as well.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A relative path's folder (without a last `/`) and its file's stem.
pub(super) fn folder_and_stem(relative: &str) -> (&str, &str) {
    let (folder, file) = relative.rsplit_once('/').unwrap_or(("", relative));
    (folder, file.rsplit_once('.').map_or(file, |(stem, _)| stem))
}
