//! A suite as input of the ingest stage.

use serde_json::{Value, json};
use slam_dataset::ItemKey;
use slam_dataset::work::Input;

use super::{Refused, Suite};
use crate::file::Dataset;
use crate::source::{self, ShardFiles, SourceError, SourceFile};

/// Source bytes of one shard: a suite's recordings are short, and its largest part is a few gigabytes.
const SHARD_BYTES: u64 = 256 << 20;
/// The split of suites that have but one.
const SPLIT: &str = "test";

/// The shards of a suite, and what of it is left out.
type Shards = (Vec<ShardFiles>, Vec<Refused>);

/// The shards of a dataset whose source is a suite, and what of the suite is left out; `None` for others.
///
/// # Errors
/// If the source's fields make no suite, or its folder cannot be read.
pub fn shards(dataset: &Dataset) -> Result<Option<Shards>, SourceError> {
    if dataset.source.get("kind").and_then(Value::as_str) != Some("suite") {
        return Ok(None);
    }
    let suite: Suite = serde_json::from_value(dataset.source.clone()).map_err(|e| {
        SourceError::Field { dataset: dataset.name.clone(), message: format!("source: {e}") }
    })?;
    if !suite.folder.exists() {
        let folder = suite.folder;
        return Err(SourceError::Missing { dataset: dataset.name.clone(), folder });
    }
    let listing = suite.list()?;
    let split = listing.split.as_deref().unwrap_or(SPLIT);
    let bytes = dataset.shard_bytes.unwrap_or(SHARD_BYTES).max(1);
    let shards = source::into_shards(listing.files, |(_, file)| file.bytes, bytes);
    let shard = |files: Vec<(ItemKey, SourceFile)>| {
        let mut shard = ShardFiles { source: json!({"kind": "folder"}), ..ShardFiles::default() };
        for (key, file) in files {
            shard.entries.push(json!({
                "name": file.relative,
                "id": key.to_string(),
                "split": split,
            }));
            shard.inputs.push(Input { path: source::absolute(file.path), key: file.key });
        }
        shard
    };
    Ok(Some((shards.into_iter().map(shard).collect(), listing.refused)))
}
