//! The data root: a folder, or a folder of an object store with a local mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use slam_dataset::{Receipt, publish};
use slam_pipeline::plan::{MIRROR, Plan};

use crate::exit::Failure;

/// Where the data is, as the user says it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Data {
    /// The data root: a folder, or s3://BUCKET/FOLDER, gs://, az://, http(s)://
    #[arg(long, default_value = "data", global = true)]
    pub(crate) data: PathBuf,
    /// With an object store: the local folder that mirrors what is needed of it
    #[arg(long, value_name = "DIR", default_value = "data-mirror", global = true)]
    pub(crate) cache: PathBuf,
}

/// The data root.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The folder on this machine.
    pub(crate) folder: PathBuf,
    /// The store that it mirrors.
    pub(crate) store: Option<String>,
}

impl Root {
    /// Takes a root as the user named it; a mirror remembers its store.
    pub(crate) fn of(data: &Data) -> anyhow::Result<Self> {
        let name = data.data.to_string_lossy();
        if !name.contains("://") {
            let marker = data.data.join(MIRROR);
            if let Ok(store) = fs::read_to_string(&marker) {
                return Err(Failure::Usage(format!(
                    "{} mirrors {store}; write --data {store} --cache {}",
                    data.data.display(),
                    data.data.display()
                ))
                .into());
            }
            return Ok(Self { folder: data.data.clone(), store: None });
        }
        let store = name.trim_end_matches('/').to_owned();
        let marker = data.cache.join(MIRROR);
        match fs::read_to_string(&marker) {
            Ok(other) if other != store => {
                return Err(Failure::Usage(format!(
                    "{} mirrors {other}, not {store}; name another folder with --cache",
                    data.cache.display()
                ))
                .into());
            }
            Ok(_) => {}
            Err(_) => publish::write(&marker, store.as_bytes())?,
        }
        Ok(Self { folder: data.cache.clone(), store: Some(store) })
    }

    /// A folder that is a root, or a mirror of one that it names itself.
    pub(crate) fn at(folder: &Path) -> Self {
        let store = fs::read_to_string(folder.join(MIRROR)).ok();
        Self { folder: folder.to_owned(), store }
    }

    /// The root as people name it.
    pub(crate) fn name(&self) -> String {
        self.store.clone().unwrap_or_else(|| self.folder.display().to_string())
    }

    /// Arguments of a worker that makes shards.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.store.iter().flat_map(|s| ["--store".to_owned(), s.clone()]).collect()
    }

    /// Learns what the store has of a plan's shards.
    pub(crate) fn sync(&self, worker: &Path, plan: &Plan) -> anyhow::Result<()> {
        let units = plan.stages.iter().flat_map(|s| &s.units);
        self.ask(worker, "receipts", units.map(|u| u.output.clone()).collect())?;
        Ok(())
    }

    /// Learns of everything that the store has.
    pub(crate) fn sync_all(&self, worker: &Path) -> anyhow::Result<()> {
        self.ask(worker, "receipts", Vec::new())?;
        Ok(())
    }

    /// Pulls shards that the folder does not have.
    pub(crate) fn pull(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        let absent: Vec<_> =
            shards.into_iter().filter(|s| !self.folder.join(s).is_file()).collect();
        if !absent.is_empty() {
            self.ask(worker, "pull", absent)?;
        }
        Ok(())
    }

    /// Pushes finished shards to the store.
    pub(crate) fn push(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        if !shards.is_empty() {
            self.ask(worker, "push", shards)?;
        }
        Ok(())
    }

    /// Takes the receipts of shards away, so that they count as missing.
    pub(crate) fn forget(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        for shard in &shards {
            let _ = fs::remove_file(Receipt::path_of(&self.folder.join(shard)));
        }
        if !shards.is_empty() {
            self.ask(worker, "forget", shards)?;
        }
        Ok(())
    }

    /// Hashes of shards as the store has them, `None` where it has none.
    pub(crate) fn hashes(
        &self,
        worker: &Path,
        shards: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<Option<String>>> {
        let lines = self.ask(worker, "hash", shards)?;
        Ok(lines.iter().map(|l| l["blake3"].as_str().map(str::to_owned)).collect())
    }

    /// Has the worker carry out an action; nothing where there is no store.
    fn ask(&self, worker: &Path, action: &str, shards: Vec<PathBuf>) -> anyhow::Result<Vec<Value>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let request = self.folder.join(".plans").join(format!("store-{action}.json"));
        let text =
            json!({"store": store, "mirror": self.folder, "action": action, "shards": shards});
        publish::write(&request, text.to_string().as_bytes())?;
        let output = Command::new(worker)
            .args(["store", "--request"])
            .arg(&request)
            .output()
            .with_context(|| format!("failed to start {}", worker.display()))?;
        if output.status.code() == Some(130) {
            return Err(Failure::Interrupted("interrupted; the same command goes on".into()).into());
        }
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{}", said.trim().trim_start_matches("error: "));
        }
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|l| serde_json::from_str(l).with_context(|| format!("the worker said '{l}'")))
            .collect()
    }
}
