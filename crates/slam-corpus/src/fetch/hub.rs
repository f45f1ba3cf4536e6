//! The Hugging Face hub: lists a repository, uses the files in its cache, and downloads the others.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::http::{Asked, Client};
use slam_recipe::request::HubRepository;

use super::error::{FetchError, disk};
use super::place::safe;
use super::watch::{Fetched, Watch};

/// The address of the hub, and the settings for talking to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    /// Its address.
    pub endpoint: String,
    /// A token, for data sets with access conditions.
    pub token: Option<String>,
    /// The cache of `huggingface_hub`. It is read, but not written.
    pub cache: PathBuf,
    /// Do not use the network.
    pub offline: bool,
}

/// A file of a repository, as the hub lists it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    lfs: Option<Lfs>,
}

/// The hash of a large file.
#[derive(Deserialize)]
struct Lfs {
    /// Its SHA-256.
    #[serde(alias = "sha256")]
    oid: String,
}

impl HubSettings {
    /// Reads the variables of `huggingface_hub`: `HF_ENDPOINT`, `HF_TOKEN` (without it, the file that
    /// `hf auth login` writes), `HF_HOME`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE`.
    pub fn from_environment() -> Self {
        Self::from_variables(&|name| env::var(name).ok().filter(|v| !v.is_empty()))
    }

    pub(super) fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let home = get("HF_HOME").map_or_else(
            || {
                let cache = get("XDG_CACHE_HOME").map_or_else(
                    || PathBuf::from(get("HOME").unwrap_or_else(|| ".".to_owned())).join(".cache"),
                    PathBuf::from,
                );
                cache.join("huggingface")
            },
            PathBuf::from,
        );
        let token = get("HF_TOKEN").or_else(|| fs::read_to_string(home.join("token")).ok());
        let yes = |v: String| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str());
        Self {
            endpoint: get("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".to_owned())
                .trim_end_matches('/')
                .to_owned(),
            token: token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
            cache: get("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            offline: get("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// Fetches a repository's files into a folder.
    pub(super) fn fetch(
        &self,
        repository: &HubRepository,
        folder: &Path,
        client: &Client,
        watch: &Watch<'_>,
        fetched: &mut Fetched,
    ) -> Result<(), FetchError> {
        let cached = self.snapshot(repository);
        if self.offline {
            let cached = cached.ok_or_else(|| FetchError::Offline {
                repository: repository.repository.clone(),
                cache: self.cache.clone(),
            })?;
            return from_cache(&cached, repository, folder, fetched);
        }
        for entry in self.list(repository, client)? {
            let path = safe(&entry.path)?;
            let target = folder.join(&path);
            let has = |file: &Path| fs::metadata(file).is_ok_and(|m| m.len() == entry.size);
            if has(&target) {
                fetched.kept += 1;
                continue;
            }
            if let Some(file) = cached.as_ref().map(|c| c.join(&path)).filter(|f| has(f)) {
                link(&file, &target)?;
                fetched.kept += 1;
                continue;
            }
            let HubRepository { repository, revision, .. } = repository;
            let url = format!(
                "{}/datasets/{repository}/resolve/{}/{}",
                self.endpoint,
                encoded(revision),
                entry.path.split('/').map(encoded).collect::<Vec<_>>().join("/")
            );
            let asked = Asked {
                url: &url,
                token: self.token.as_deref(),
                sha256: entry.lfs.as_ref().map(|l| l.oid.as_str()),
                size: Some(entry.size),
            };
            fetched.bytes += client.download(&asked, &target, watch)?;
            fetched.files += 1;
        }
        Ok(())
    }

    /// Returns the wanted files of a repository, sorted by path.
    fn list(&self, repository: &HubRepository, client: &Client) -> Result<Vec<Entry>, FetchError> {
        let first = format!(
            "{}/api/datasets/{}/tree/{}?recursive=true",
            self.endpoint,
            repository.repository,
            encoded(&repository.revision)
        );
        let (mut entries, mut next) = (Vec::new(), Some(first.clone()));
        let mut seen = BTreeSet::new();
        while let Some(url) = next {
            let broken = |message| FetchError::Hub { url: url.clone(), message };
            if !seen.insert(url.clone()) {
                return Err(broken("its pages name each other in a circle".to_owned()));
            }
            // A token goes only to the server that it is meant for.
            let token = self.token.as_deref().filter(|_| same_origin(&url, &self.endpoint));
            let (text, following) = client.text(&url, token)?;
            let page: Vec<Entry> =
                serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
            entries.extend(page);
            let absolute = |next: String| {
                let here = Url::parse(&url).map_err(|e| broken(e.to_string()))?;
                let next = here.join(&next).map_err(|e| broken(format!("next page: {e}")))?;
                Ok::<_, FetchError>(next.to_string())
            };
            next = following.map(absolute).transpose()?;
        }
        entries.retain(|e| e.kind == "file" && wanted(&e.path, &repository.include));
        if entries.is_empty() {
            let message = format!("no file begins with {}", repository.include.join(" or "));
            return Err(FetchError::Hub { url: first, message });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Returns the folder of a revision in the cache of `huggingface_hub`.
    fn snapshot(&self, repository: &HubRepository) -> Option<PathBuf> {
        let name = format!("datasets--{}", repository.repository.replace('/', "--"));
        let folder = self.cache.join(name);
        let commit = fs::read_to_string(folder.join("refs").join(&repository.revision))
            .unwrap_or_else(|_| repository.revision.clone());
        let snapshot = folder.join("snapshots").join(commit.trim());
        snapshot.is_dir().then_some(snapshot)
    }
}

/// Whether two addresses are of one server: scheme, host and port are the same.
pub(super) fn same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => false,
    }
}

fn wanted(path: &str, include: &[String]) -> bool {
    include.is_empty() || include.iter().any(|prefix| path.starts_with(prefix.as_str()))
}

/// Takes all wanted files of a snapshot from the cache.
fn from_cache(
    snapshot: &Path,
    repository: &HubRepository,
    folder: &Path,
    fetched: &mut Fetched,
) -> Result<(), FetchError> {
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        let path = snapshot.join(&inside);
        for entry in fs::read_dir(&path).map_err(disk(&path))? {
            let entry = entry.map_err(disk(&path))?;
            let inside = inside.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(inside);
            } else if wanted(&inside.to_string_lossy(), &repository.include) {
                link(&entry.path(), &folder.join(&inside))?;
                fetched.kept += 1;
            }
        }
    }
    Ok(())
}

/// Links to a file of the cache, and replaces the file that is there.
fn link(file: &Path, target: &Path) -> Result<(), FetchError> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(disk(parent))?;
    }
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(disk(target)(e)),
        _ => {}
    }
    let file = fs::canonicalize(file).map_err(disk(file))?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&file, target);
    #[cfg(not(unix))]
    let linked = fs::copy(&file, target).map(drop);
    linked.map_err(disk(target))
}

/// Encodes a part of an address: characters that are not plain become `%XX`.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}
