//! `shards verify`: the bytes of every shard against its receipt.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use anyhow::bail;
use slam_recipe::{Key, Receipt, WorkUnit};

use super::files;
use crate::door::hint;
use crate::prepared::quoted;
use crate::root::Root;

/// Re-hashes every shard below the root, or of a dataset, and names those that are not what they should be. Of an
/// object store the worker reads what the store holds, not what the mirror has of it.
pub(super) fn run(root: &Root, worker: Option<&Path>, dataset: Option<&str>) -> anyhow::Result<()> {
    let shards = files::find(&files::folder(&root.folder, dataset)?)?;
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
                crate::out::say!("{}: {problem}", shard.display());
            }
        }
    }
    crate::out::say!("{good} good, {bad} bad");
    if bad > 0 {
        let (rebuild, data) = (hint("shards rebuild"), quoted(&root.name()));
        bail!(
            "{bad} shards are bad; `{rebuild} DATASET --data {data}` with the --pipeline, --quick and --set that made them \
             remakes them"
        );
    }
    Ok(())
}

/// What is wrong with a shard.
#[derive(Debug)]
enum Problem {
    NoReceipt,
    Receipt(io::Error),
    NoFile,
    Unreadable(io::Error),
    OtherBytes,
    NoQuarantine { inputs: u64 },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReceipt => write!(f, "it has no receipt"),
            Self::Receipt(e) => write!(f, "its receipt is unreadable: {e}"),
            Self::NoFile => write!(f, "its receipt is there, the file is not"),
            Self::Unreadable(e) => write!(f, "{e}"),
            Self::OtherBytes => write!(f, "its bytes are not those of its receipt"),
            Self::NoQuarantine { inputs } => {
                write!(f, "the table of its {inputs} quarantined inputs is missing")
            }
        }
    }
}

fn receipt(shard: &Path) -> Result<Receipt, Problem> {
    Receipt::read(shard).map_err(Problem::Receipt)?.ok_or(Problem::NoReceipt)
}

fn problem(shard: &Path) -> Option<Problem> {
    let receipt = match receipt(shard) {
        Ok(receipt) => receipt,
        Err(problem) => return Some(problem),
    };
    if !shard.is_file() {
        return Some(Problem::NoFile);
    }
    match receipt.verify(shard) {
        Err(e) => Some(Problem::Unreadable(e)),
        Ok(false) => Some(Problem::OtherBytes),
        Ok(true) if receipt.quarantined > 0 && !Receipt::quarantine_path_of(shard).is_file() => {
            Some(Problem::NoQuarantine { inputs: receipt.quarantined })
        }
        Ok(true) => None,
    }
}

fn problem_in_store(shard: &Path, hash: Option<&Key>) -> Option<Problem> {
    match (receipt(shard), hash) {
        (Err(problem), _) => Some(problem),
        (Ok(_), None) => Some(Problem::NoFile),
        (Ok(receipt), Some(hash)) => (receipt.blake3 != *hash).then_some(Problem::OtherBytes),
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
