//! What is asked of files: fetching, moving and showing them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to fetch, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchRequest {
    /// The folder that the data goes into.
    pub folder: PathBuf,
    /// Files of the web.
    pub files: Vec<FetchFile>,
    /// A repository of the hub.
    pub hub: Option<HubRepository>,
}

/// A file of the web.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchFile {
    /// Its address.
    pub url: String,
    /// Its SHA-256 in hex, where it is known.
    pub sha256: Option<String>,
    /// Its form, if it is to be unpacked.
    pub unpack: Option<Archive>,
    /// Folders at the start of an archive's names that are left out.
    pub strip: usize,
    /// The folder of an archive outside of which nothing is unpacked; all of it where empty.
    pub only: String,
}

/// Forms of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Archive {
    /// A tar file.
    #[serde(rename = "tar")]
    Tar,
    /// A tar file, gzipped.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// A data-set repository of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRepository {
    /// `organisation/name`.
    pub repository: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Only files whose path begins with one of these; all where empty.
    #[serde(default)]
    pub include: Vec<String>,
}

/// Shards of a folder that mirrors an object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The store's folder, e.g. `s3://bucket/folder`.
    pub store: String,
    /// The folder that mirrors it.
    pub mirror: PathBuf,
    /// What to do.
    pub action: StoreAction,
    /// Shards, relative to the mirror.
    pub shards: Vec<PathBuf>,
}

/// What to do with shards of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAction {
    /// Bring the receipts of the shards (or all of the store's) up to what the store has.
    Receipts,
    /// Pull files that the mirror does not have.
    Pull,
    /// Pull files as they are in the store now, where it has them.
    Refresh,
    /// Push shards with their quarantine and receipts.
    Push,
    /// Push single files over those that the store has.
    PushFiles,
    /// Take the receipts away, here and in the store, so that the shards count as missing.
    Forget,
    /// Say the hashes of the store's objects.
    Hash,
}

/// Rows of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowRequest {
    /// The Parquet file.
    pub shard: PathBuf,
    /// The first row.
    pub from: usize,
    /// How many.
    pub rows: usize,
}
