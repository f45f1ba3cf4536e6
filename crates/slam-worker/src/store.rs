//! `slam store`: shards between a folder and the object store that it mirrors, for the commands, which know none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use slam_dataset::store::Store;

use crate::exit::Interrupted;
use crate::signals;

/// What to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The store's folder, e.g. `s3://bucket/folder`.
    store: String,
    /// The folder that mirrors it.
    mirror: PathBuf,
    action: Action,
    /// Shards, relative to the mirror.
    shards: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Bring the receipts of the shards (or all of the store's) up to what the store has.
    Receipts,
    /// Pull files that the mirror does not have.
    Pull,
    /// Push shards with their quarantine and receipts.
    Push,
    /// Take the receipts away, here and in the store, so that the shards count as missing.
    Forget,
    /// Say the hashes of the store's objects.
    Hash,
}

/// Carries out a request; prints an object a line about each path that something is to be said of.
pub(crate) fn run(request: &Path) -> anyhow::Result<()> {
    let bytes =
        fs::read(request).with_context(|| format!("failed to read {}", request.display()))?;
    let Request { store, mirror, action, shards } = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no request", request.display()))?;
    let store = Store::open(&store)?;
    if let Action::Receipts = action {
        for path in store.pull_receipts(&mirror, &shards)? {
            println!("{}", json!({"path": path}));
        }
        return Ok(());
    }
    for path in shards {
        if signals::flag().load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        match action {
            Action::Pull if mirror.join(&path).is_file() => {}
            Action::Pull => {
                if !store.pull(&mirror, &path)? {
                    bail!("the store has no {}", path.display());
                }
            }
            Action::Forget => store.forget(&mirror, &path)?,
            Action::Push => store.push_shard(&mirror, &path)?,
            _ => println!("{}", json!({"path": path, "blake3": store.hash(&path)?})),
        }
    }
    Ok(())
}
