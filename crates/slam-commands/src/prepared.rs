//! What was prepared in a data root, from its lock.

use std::path::{Path, PathBuf};

use anyhow::bail;
use slam_recipe::lock::{Lock, LockError, LockedDataset, Prepared, Shard};
use slam_recipe::pipeline::{Dataset, Variant};
use slam_recipe::receipt::ShardState;
use slam_recipe::{Pipeline, PipelineChoice, Stage};

use crate::door::hint;
use crate::root::Root;

/// The command that prepares a pipeline's data, with the options that the user gave.
#[derive(Clone, Debug)]
pub(crate) struct PrepareCommand<'a> {
    /// The pipeline, as the user named it.
    pub(crate) named: &'a PipelineChoice,
    /// The data root.
    pub(crate) root: &'a Root,
}

impl std::fmt::Display for PrepareCommand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { named: PipelineChoice { pipeline, variant, overrides }, root } = self;
        write!(f, "{} --pipeline {}", hint("prepare-data"), quoted(pipeline))?;
        if *variant == Variant::Quick {
            write!(f, " --quick")?;
        }
        write!(f, " --data {}", quoted(&root.name()))?;
        if root.store.is_some() {
            write!(f, " --cache {}", quoted(&root.folder.display().to_string()))?;
        }
        overrides.iter().try_for_each(|set| write!(f, " --set {}", quoted(set)))
    }
}

/// An argument as a shell reads it.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// The prepared datasets of a pipeline. Those that are `needed` must be in the lock as the pipeline says.
pub(crate) fn read(
    command: &PrepareCommand<'_>,
    worker: &Path,
    pipeline: &Pipeline,
    needed: impl Fn(&Lock, &Dataset) -> bool,
) -> anyhow::Result<Prepared> {
    let root = command.root;
    root.pull_lock(worker)?;
    let selected = Lock::read(&root.folder)
        .and_then(|lock| lock.select(&root.folder, pipeline, |d| needed(&lock, d)));
    match selected {
        Ok(prepared) => Ok(prepared),
        Err(e @ (LockError::Missing { .. } | LockError::Unknown { .. })) => {
            bail!("{e}; prepare the data with `{command}`")
        }
        Err(e @ LockError::Differs { .. }) => {
            bail!("{e}; prepare the data so with `{command}`, or leave the fields as they were")
        }
        Err(
            e @ (LockError::Form { .. }
            | LockError::Version { .. }
            | LockError::NoFile { .. }
            | LockError::Incomplete { .. }),
        ) => {
            bail!("{e}: `{command}`")
        }
        Err(e) => Err(e.into()),
    }
}

/// The files of shards that are missing or stale.
pub(crate) fn not_made<'a>(
    folder: &Path,
    shards: impl IntoIterator<Item = &'a Shard>,
) -> Vec<PathBuf> {
    let missing = |s: &&Shard| !matches!(s.state(folder), ShardState::Done(_));
    shards.into_iter().filter(missing).map(|s| folder.join(&s.output)).collect()
}

/// Fails where shards that are needed are missing or stale, naming the first.
pub(crate) fn check_made(
    command: &PrepareCommand<'_>,
    worker: &Path,
    data: &Prepared,
    needed: impl Fn(&LockedDataset, Stage) -> bool,
) -> anyhow::Result<()> {
    let root = command.root;
    let shards: Vec<&Shard> =
        data.all().filter(|(d, stage, _)| needed(d, *stage)).map(|(_, _, shard)| shard).collect();
    root.sync_shards(worker, shards.iter().map(|s| s.output.clone()).collect())?;
    let missing = not_made(&root.folder, shards);
    if let Some(first) = missing.first() {
        bail!(
            "{} shards are missing or stale, the first {}; make them with `{command}`",
            missing.len(),
            first.display()
        );
    }
    Ok(())
}

/// Notes datasets in the lock, does the work that makes them, and notes what it made, even where the work failed.
pub(crate) fn noted<T>(
    root: &Root,
    worker: &Path,
    mut datasets: Vec<LockedDataset>,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let note = |datasets: &mut Vec<LockedDataset>| -> anyhow::Result<()> {
        for dataset in datasets.iter_mut() {
            dataset.note_receipts(&root.folder);
        }
        root.pull_lock(worker)?;
        Lock::update(&root.folder, datasets.clone())?;
        root.push_lock(worker)
    };
    note(&mut datasets)?;
    let result = work();
    match (result, note(&mut datasets)) {
        (Ok(value), Ok(())) => Ok(value),
        // The work's own failure says more than that of the lock after it.
        (Err(e), _) | (Ok(_), Err(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hint_carries_the_users_own_options() {
        let root = Root { folder: "my data".into(), store: None };
        let overrides = vec!["datasets.a.rows=5".to_owned(), "train.datasets=[\"a\"]".to_owned()];
        let named = PipelineChoice { pipeline: "demo".into(), variant: Variant::Quick, overrides };
        let command = PrepareCommand { named: &named, root: &root };
        let text = command.to_string();
        let options = "--set datasets.a.rows=5 --set 'train.datasets=[\"a\"]'";
        assert!(
            text.ends_with(&format!(
                "prepare-data --pipeline demo --quick --data 'my data' {options}"
            )),
            "{text}"
        );
    }
}
