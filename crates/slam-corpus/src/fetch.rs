//! Fetches public data: files from the web, and repositories of the Hugging Face hub.
//!
//! A file is downloaded next to its final place, resumed if the download broke off, checked, and only then
//! put into place. An archive is unpacked next to its folder and then moved into it. Data that is already
//! there is not fetched again, so an interrupted fetch continues when it is started again.

mod archive;
mod http;
mod hub;

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use slam_recipe::request::{FetchFile, FetchRequest};

pub use hub::HubSettings;

/// The folder beside the data for archives, unfinished files, and marks of what is done.
const OWN_FOLDER: &str = ".fetch";

/// What a fetch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The number of files that were fetched.
    pub files: u64,
    /// The number of files that were already there.
    pub kept: u64,
    /// The number of bytes that came over the network.
    pub bytes: u64,
}

/// The reasons why data cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server does not answer, or breaks off repeatedly.
    #[error(
        "{url}: {message}; check the connection and run the same command again: it goes on where it broke off"
    )]
    Network {
        /// The address.
        url: String,
        /// What happened.
        message: String,
    },
    /// The server requires authentication.
    #[error(
        "{url}: the server answers {status}; set HF_TOKEN to a token of https://huggingface.co/settings/tokens \
         whose account has accepted the data set's conditions"
    )]
    Token {
        /// The address.
        url: String,
        /// The status 401 or 403.
        status: u16,
    },
    /// The server has no such file, or refuses it.
    #[error(
        "{url}: the server answers {status}; the address in the data manifest may have changed"
    )]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The file differs from what the manifest describes.
    #[error(
        "{url}: its SHA-256 is {found}, not {expected}; the download was removed: run the same command again, and \
         if it differs again, the file was changed where it is published or on its way"
    )]
    Checksum {
        /// The address.
        url: String,
        /// The SHA-256 in the manifest.
        expected: String,
        /// The SHA-256 of the downloaded file.
        found: String,
    },
    /// An answer of the hub is not understood.
    #[error("{url}: not an answer of the Hugging Face hub: {message}; is HF_ENDPOINT right?")]
    Hub {
        /// The address.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// The network may not be used, and the data is not in the cache.
    #[error("{repository} is not in the Hugging Face cache {cache}, and HF_HUB_OFFLINE is set")]
    Offline {
        /// The repository.
        repository: String,
        /// The cache.
        cache: PathBuf,
    },
    /// An archive cannot be unpacked.
    #[error("{path}: {message}; remove it and run the same command again")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A name would lead out of the folder.
    #[error("'{0}' leads out of the folder; it is not written")]
    Outside(String),
    /// A file or folder cannot be written.
    #[error("failed to write {path}: {source}; check the free space and permissions")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why the write failed.
        source: io::Error,
    },
    /// The fetch was asked to stop.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
}

/// Reports the progress of a fetch, and lets it be stopped.
pub struct Watch<'a> {
    /// Called with the file, its bytes so far, and its size if it is known.
    pub progress: &'a (dyn Fn(&str, u64, Option<u64>) + Sync),
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
}

impl Watch<'_> {
    fn report(&self, name: &str, bytes: u64, size: Option<u64>) -> Result<(), FetchError> {
        (self.progress)(name, bytes, size);
        if self.cancel.load(Ordering::Relaxed) { Err(FetchError::Interrupted) } else { Ok(()) }
    }
}

/// Fetches what is not there yet.
///
/// # Errors
/// Fails if something cannot be downloaded, differs from what it should be, or cannot be written. Finished
/// work stays.
pub fn fetch(
    request: &FetchRequest,
    hub: &HubSettings,
    watch: &Watch<'_>,
) -> Result<Fetched, FetchError> {
    let own = request.folder.join(OWN_FOLDER);
    fs::create_dir_all(&own).map_err(disk(&own))?;
    let incomplete = own.join("incomplete");
    fs::write(&incomplete, b"").map_err(disk(&incomplete))?;
    let client = http::Client::new();
    let mut fetched = Fetched::default();
    for file in &request.files {
        remote_file(file, &request.folder, &own, &client, watch, &mut fetched)?;
    }
    if let Some(repository) = &request.hub {
        hub.fetch(repository, &request.folder, &client, watch, &mut fetched)?;
    }
    fs::remove_file(&incomplete).map_err(disk(&incomplete))?;
    Ok(fetched)
}

fn remote_file(
    file: &FetchFile,
    folder: &Path,
    own: &Path,
    client: &http::Client,
    watch: &Watch<'_>,
    fetched: &mut Fetched,
) -> Result<(), FetchError> {
    let path = file.url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').find(|s| !s.is_empty()).unwrap_or("file");
    let name = safe(name)?;
    let (target, done) = match file.unpack {
        // An archive is removed after it is unpacked; a mark records that it is done.
        Some(_) => (own.join(&name), own.join(format!("{}.done", name.display()))),
        None => (folder.join(&name), folder.join(&name)),
    };
    if done.is_file() {
        fetched.kept += 1;
        return Ok(());
    }
    if !target.is_file() {
        let asked =
            http::Asked { url: &file.url, token: None, sha256: file.sha256.as_deref(), size: None };
        fetched.bytes += client.download(&asked, &target, watch)?;
    }
    if let Some(form) = file.unpack {
        archive::unpack(&target, form, file, folder, watch)?;
        fs::write(&done, file.url.as_bytes()).map_err(disk(&done))?;
        fs::remove_file(&target).map_err(disk(&target))?;
    }
    fetched.files += 1;
    Ok(())
}

/// Returns a relative path that stays within its folder.
fn safe(name: &str) -> Result<PathBuf, FetchError> {
    let path = PathBuf::from(name);
    let stays = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || !stays { Err(FetchError::Outside(name.to_owned())) } else { Ok(path) }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Disk { path, source }
}

#[cfg(test)]
mod tests;
