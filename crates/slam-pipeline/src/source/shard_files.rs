//! The files that go into one shard.

use slam_recipe::params::{FileEntry, Refused};
use slam_recipe::source::{Folder, Source};
use slam_recipe::work::Input;

use super::files::{SourceFile, absolute};

/// The input of one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardFiles {
    /// The source, without the place.
    pub source: Source,
    /// The files' names, and what else is known of them.
    pub entries: Vec<FileEntry>,
    /// The files.
    pub inputs: Vec<Input>,
    /// What belongs there and could not be listed.
    pub refused: Vec<Refused>,
    /// Of files that hold rows: the i-th of so many equal parts.
    pub part: Option<(u64, u64)>,
}

impl ShardFiles {
    /// No files of a source.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, entries: Vec::new(), inputs: Vec::new(), refused: Vec::new(), part: None }
    }

    /// No files of a folder whose entries say what is known of each.
    pub(crate) fn of_entries(folder: Folder) -> Self {
        Self::new(Source::Folder(folder))
    }

    pub(super) fn add(&mut self, files: Vec<SourceFile>) {
        for file in files {
            self.entries.push(FileEntry::named(file.relative));
            self.inputs.push(Input { path: absolute(file.path), key: file.key });
        }
    }
}

/// Cuts a list into shards of about `shard_bytes` each, all about as large as each other: a pure function of the list.
pub(crate) fn into_shards<T>(
    items: Vec<T>,
    size: impl Fn(&T) -> u64,
    shard_bytes: u64,
) -> Vec<Vec<T>> {
    let sized: Vec<_> = items.into_iter().map(|item| (u128::from(size(&item)), item)).collect();
    let total = sized.iter().map(|(bytes, _)| bytes).sum::<u128>().max(1);
    let step = u128::from(shard_bytes.max(1));
    let count = ((total + step / 2) / step).max(1);
    let mut shards: Vec<Vec<T>> = Vec::new();
    let (mut before, mut last) = (0, None);
    for (bytes, item) in sized {
        // An item belongs where its middle is; a shard that would be empty is none.
        let place = ((2 * before + bytes) * count / (2 * total)).min(count - 1);
        before += bytes;
        match shards.last_mut() {
            Some(shard) if last == Some(place) => shard.push(item),
            _ => shards.push(vec![item]),
        }
        last = Some(place);
    }
    shards
}
