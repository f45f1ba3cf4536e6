//! Shards between a folder and the object store that it mirrors, for the commands, which know none.

use std::sync::atomic::Ordering;

use anyhow::bail;
use slam_dataset::store::Store;
use slam_recipe::Event;
use slam_recipe::event::Outcome;
use slam_recipe::request::{StoreAction, StoreRequest};

use crate::exit::Interrupted;

/// Carries out a request; says something about each object that something is to be said of.
pub(crate) fn run(request: &StoreRequest) -> anyhow::Result<Outcome> {
    let StoreRequest { store, mirror, action, shards } = request;
    let store = Store::open(store)?;
    if let StoreAction::Receipts = action {
        for path in store.pull_receipts(mirror, shards)? {
            Event::Stored { path, blake3: None }.print();
        }
        return Ok(Outcome::UpToDate);
    }
    for path in shards {
        if slam_interrupt::flag().load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        match action {
            StoreAction::Receipts => {}
            StoreAction::Pull if mirror.join(path).is_file() => {}
            StoreAction::Pull => {
                if !store.pull(mirror, path)? {
                    bail!("the store has no {}", path.display());
                }
            }
            StoreAction::Refresh => drop(store.pull(mirror, path)?),
            StoreAction::Forget => store.forget(mirror, path)?,
            StoreAction::Push => store.push_shard(mirror, path)?,
            StoreAction::PushFiles => store.push_file(mirror, path)?,
            StoreAction::Hash => {
                Event::Stored { path: path.clone(), blake3: store.hash(path)? }.print();
            }
        }
    }
    Ok(Outcome::UpToDate)
}
