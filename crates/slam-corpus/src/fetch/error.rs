use std::io;
use std::path::{Path, PathBuf};

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

pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Disk { path, source }
}
