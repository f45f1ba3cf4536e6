//! A suite as input of the ingest stage.

use slam_recipe::item::{BenchmarkItem, Item};
use slam_recipe::params::{FileEntry, Refused};
use slam_recipe::pipeline::Dataset;
use slam_recipe::source::{Folder, Suite};
use slam_recipe::work::Input;

use super::list::list;
use crate::source::{self, ShardFiles, SourceError, SourceFile};

/// Source bytes of one shard: a suite's recordings are short, and its largest part is a few gigabytes.
const SHARD_BYTES: u64 = 256 << 20;
/// The split of suites that have but one.
const SPLIT: &str = "test";

/// The shards of a suite, and what of it is left out.
type Shards = (Vec<ShardFiles>, Vec<Refused>);

/// The shards of a dataset whose source is a suite, and what of the suite is left out.
///
/// # Errors
/// If the suite's folder cannot be read.
pub fn shards(dataset: &Dataset, suite: &Suite) -> Result<Shards, SourceError> {
    let name = || dataset.name.clone();
    let Some(folder) = &suite.folder else {
        return Err(SourceError::NoFolder { dataset: name(), kind: "suite" });
    };
    if !folder.exists() {
        return Err(SourceError::Missing { dataset: name(), folder: folder.clone() });
    }
    let listing = list(suite, folder)?;
    let split = listing.split.as_deref().unwrap_or(SPLIT);
    let bytes = dataset.shard_bytes.unwrap_or(SHARD_BYTES).max(1);
    let shards = source::into_shards(listing.files, |(_, file)| file.bytes, bytes);
    let shard = |files: Vec<(BenchmarkItem, SourceFile)>| {
        let mut shard = ShardFiles::of_entries(Folder::default());
        for (item, file) in files {
            shard.entries.push(FileEntry {
                id: Some(item.utterance_id()),
                split: Some(split.to_owned()),
                item: Some(Item::Benchmark(item)),
                ..FileEntry::named(file.relative)
            });
            shard.inputs.push(Input { path: source::absolute(file.path), key: file.key });
        }
        shard
    };
    Ok((shards.into_iter().map(shard).collect(), listing.refused))
}
