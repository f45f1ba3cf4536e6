//! The data root: a folder, or a folder of an object store with a local mirror.

use std::fs;
use std::path::{Path, PathBuf};

use slam_pipeline::Plan;
use slam_recipe::receipt::MIRROR;
use slam_recipe::request::{StoreAction, StoreRequest};
use slam_recipe::{Event, Lock, Receipt, Request, RunFile, publish};

use crate::exit::Failure;
use crate::steps;

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

/// Where the data is, for commands that a run may tell it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RunData {
    /// The data root: a folder, or s3://BUCKET/FOLDER, gs://, az://, http(s):// [default: the run's; without a
    /// run, data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// With an object store: the local folder that mirrors what is needed of it
    #[arg(long, value_name = "DIR", default_value = "data-mirror")]
    cache: PathBuf,
}

impl RunData {
    /// The root of a command without a run.
    pub(crate) fn root(&self) -> anyhow::Result<Root> {
        let data = self.data.clone().unwrap_or_else(|| "data".into());
        Root::new(&Data { data, cache: self.cache.clone() })
    }

    /// Puts what the user said in place of where a run found its data.
    pub(crate) fn lay_over(&self, file: &mut RunFile) -> anyhow::Result<()> {
        if self.data.is_some() {
            file.data = self.root()?.folder;
        }
        Ok(())
    }
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
    pub(crate) fn new(data: &Data) -> anyhow::Result<Self> {
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
        self.sync_shards(worker, units.map(|u| u.output.clone()).collect())
    }

    /// Learns what the store has of some shards.
    pub(crate) fn sync_shards(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        self.ask(worker, StoreAction::Receipts, shards).map(drop)
    }

    /// Learns of everything that the store has.
    pub(crate) fn sync_all(&self, worker: &Path) -> anyhow::Result<()> {
        self.ask(worker, StoreAction::Receipts, Vec::new()).map(drop)
    }

    /// Brings the lock up to what the store has.
    pub(crate) fn pull_lock(&self, worker: &Path) -> anyhow::Result<()> {
        self.ask(worker, StoreAction::Refresh, vec![Lock::NAME.into()]).map(drop)
    }

    /// Sends the lock to the store.
    pub(crate) fn push_lock(&self, worker: &Path) -> anyhow::Result<()> {
        self.ask(worker, StoreAction::PushFiles, vec![Lock::NAME.into()]).map(drop)
    }

    /// Pulls shards that the folder does not have.
    pub(crate) fn pull(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        let absent: Vec<_> =
            shards.into_iter().filter(|s| !self.folder.join(s).is_file()).collect();
        if !absent.is_empty() {
            self.ask(worker, StoreAction::Pull, absent)?;
        }
        Ok(())
    }

    /// Pushes finished shards to the store.
    pub(crate) fn push(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        if !shards.is_empty() {
            self.ask(worker, StoreAction::Push, shards)?;
        }
        Ok(())
    }

    /// Takes the receipts of shards away, so that they count as missing.
    pub(crate) fn forget(&self, worker: &Path, shards: Vec<PathBuf>) -> anyhow::Result<()> {
        for shard in &shards {
            let _ = fs::remove_file(Receipt::path_of(&self.folder.join(shard)));
        }
        if !shards.is_empty() {
            self.ask(worker, StoreAction::Forget, shards)?;
        }
        Ok(())
    }

    /// Hashes of shards as the store has them, `None` where it has none.
    pub(crate) fn hashes(
        &self,
        worker: &Path,
        shards: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<Option<slam_recipe::Key>>> {
        let events = self.ask(worker, StoreAction::Hash, shards)?;
        let hash = |event| match event {
            Event::Stored { blake3, .. } => Some(blake3),
            _ => None,
        };
        Ok(events.into_iter().filter_map(hash).collect())
    }

    /// Has the worker carry out an action; nothing where there is no store.
    fn ask(
        &self,
        worker: &Path,
        action: StoreAction,
        shards: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<Event>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let request =
            StoreRequest { store: store.clone(), mirror: self.folder.clone(), action, shards };
        steps::ask(worker, &Request::Store(request), &self.folder.join(".plans"))
    }
}
