//! Which shards there are below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use slam_recipe::{Receipt, ShardName};

use crate::exit::Failure;

/// The folder of a dataset, or the root itself.
pub(super) fn folder(root: &Path, dataset: Option<&str>) -> anyhow::Result<PathBuf> {
    let folder = dataset.map_or_else(|| root.to_owned(), |d| root.join(d));
    if !folder.is_dir() {
        let message = format!("there is no folder {}", folder.display());
        return Err(Failure::Usage(message).into());
    }
    Ok(folder)
}

/// Every shard below a folder: files that are named like one, and those whose receipts are there.
pub(super) fn find(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if stem.parse::<ShardName>().is_ok() {
                if path.extension().is_none_or(|e| e != "json") {
                    found.push(path);
                } else if let Ok(receipt) = Receipt::read(&path) {
                    // The file that the receipt is about should be beside it.
                    found.extend(receipt.map(|r| path.with_file_name(r.file)));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
