//! `shards verify`: the bytes of every shard against its receipt.

use std::path::{Path, PathBuf};

use anyhow::bail;
use slam_recipe::{Key, Receipt, WorkUnit};

use crate::door::hint;
use crate::root::Root;

/// Re-hashes every shard below the root, or of a dataset, and names those that are not what they should be. Of an
/// object store the worker reads what the store holds, not what the mirror has of it.
pub(super) fn run(root: &Root, worker: Option<&Path>, dataset: Option<&str>) -> anyhow::Result<()> {
    let shards = super::find(&super::folder(&root.folder, dataset)?)?;
    let stored = match worker {
        Some(worker) => {
            let below = |s: &PathBuf| s.strip_prefix(&root.folder).unwrap_or(s).to_owned();
            root.hashes(worker, shards.iter().map(below).collect())?.into_iter().map(Some).collect()
        }
        None => vec![None; shards.len()],
    };
    let (mut good, mut bad) = (0, 0);
    for (shard, stored) in shards.iter().zip(stored) {
        let problem = match stored {
            None => problem(shard),
            Some(hash) => problem_in_store(shard, hash.as_ref()),
        };
        match problem {
            None => good += 1,
            Some(problem) => {
                bad += 1;
                println!("{}: {problem}", shard.display());
            }
        }
    }
    println!("{good} good, {bad} bad");
    if bad > 0 {
        bail!("{bad} shards are bad; `{}` remakes them", hint("shards rebuild"));
    }
    Ok(())
}

const OTHER_BYTES: &str = "its bytes are not those of its receipt";
const NO_FILE: &str = "its receipt is there, the file is not";

fn receipt(shard: &Path) -> Result<Receipt, String> {
    match Receipt::read(shard) {
        Ok(Some(receipt)) => Ok(receipt),
        Ok(None) => Err("it has no receipt".to_owned()),
        Err(e) => Err(format!("its receipt is unreadable: {e}")),
    }
}

fn problem(shard: &Path) -> Option<String> {
    let receipt = match receipt(shard) {
        Ok(receipt) => receipt,
        Err(problem) => return Some(problem),
    };
    if !shard.is_file() {
        return Some(NO_FILE.to_owned());
    }
    match receipt.verify(shard) {
        Err(e) => Some(e.to_string()),
        Ok(false) => Some(OTHER_BYTES.to_owned()),
        Ok(true) if receipt.quarantined > 0 && !Receipt::quarantine_path_of(shard).is_file() => {
            Some(format!("the table of its {} quarantined inputs is missing", receipt.quarantined))
        }
        Ok(true) => None,
    }
}

fn problem_in_store(shard: &Path, hash: Option<&Key>) -> Option<String> {
    match (receipt(shard), hash) {
        (Err(problem), _) => Some(problem),
        (Ok(_), None) => Some(NO_FILE.to_owned()),
        (Ok(receipt), Some(hash)) => (receipt.blake3 != *hash).then(|| OTHER_BYTES.to_owned()),
    }
}

/// Shards whose bytes are not those of their receipts.
pub(super) fn changed(
    root: &Root,
    worker: &Path,
    units: &[&WorkUnit],
) -> anyhow::Result<Vec<PathBuf>> {
    let there: Vec<_> = units
        .iter()
        .map(|u| u.output.clone())
        .filter(|s| matches!(Receipt::read(&root.folder.join(s)), Ok(Some(_))))
        .collect();
    let path = |s: &PathBuf| root.folder.join(s);
    if root.store.is_none() {
        return Ok(there.into_iter().filter(|s| problem(&path(s)).is_some()).collect());
    }
    let hashes = root.hashes(worker, there.clone())?;
    let bad =
        |(s, hash): &(PathBuf, Option<Key>)| problem_in_store(&path(s), hash.as_ref()).is_some();
    Ok(there.into_iter().zip(hashes).filter(bad).map(|(s, _)| s).collect())
}
