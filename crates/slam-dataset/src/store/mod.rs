//! Shards on object stores: S3, Google Cloud Storage, Azure, WebDAV and plain HTTP servers, folders.
//!
//! A local folder, the **mirror**, stands for a folder of the store: what a command needs is pulled into it, what
//! it makes is pushed from it. Receipts, which are small, are pulled all; shards are when they are read.
//!
//! The order of a push is that of a publication on disk: the old receipt goes, then come the shard and its
//! quarantine, then the receipt (`PutMode::Create`). Whoever sees a receipt sees a whole shard.

#[cfg(test)]
mod tests;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use object_store::path::Path as Location;
use object_store::{ObjectStore, parse_url_opts};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use slam_recipe::publish::PublishError;

/// Variables with these prefixes configure a store, e.g. `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`, `AZURE_STORAGE_ACCOUNT_NAME`.
const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// A store that does not do what is asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error(
        "'{url}' is not the address of a store: {message}; write s3://BUCKET/FOLDER, gs://, az:// or http(s)://"
    )]
    Address {
        /// What was given.
        url: String,
        /// What is wrong.
        message: String,
    },
    /// A path that is not below the mirror.
    #[error("{path} is not a path below the data root")]
    Outside {
        /// The path.
        path: PathBuf,
    },
    /// The store refused.
    #[error("failed to {action} {place}: {source}{}", remedy(.source))]
    Store {
        /// `read`, `write`, `list` or `remove`.
        action: &'static str,
        /// The object's address.
        place: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// An object that is not there.
    #[error("{place} is not there")]
    Missing {
        /// The object's address.
        place: String,
    },
    /// The mirror could not be read.
    #[error("failed to read {path}: {source}")]
    Mirror {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mirror could not be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No threads.
    #[error("failed to start the store's threads: {0}")]
    Runtime(io::Error),
}

fn remedy(error: &object_store::Error) -> &'static str {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    match error {
        Unauthenticated { .. } | PermissionDenied { .. } => {
            "; check the credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, \
             GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_NAME, …)"
        }
        _ => "",
    }
}

/// A folder of an object store. Its calls wait for their end; transfers of many objects run side by side.
pub struct Store {
    url: String,
    objects: Arc<dyn ObjectStore>,
    prefix: Location,
    runtime: Runtime,
    /// Whether the store can say what it holds; plain HTTP servers cannot.
    lists: bool,
}

impl Store {
    /// Opens a folder of a store, with what the environment says of credentials and endpoints.
    ///
    /// # Errors
    /// If the URL names no store, or what it needs is not configured.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let refuse = |message: String| StoreError::Address { url: url.to_owned(), message };
        let parsed = Url::parse(url).map_err(|e| refuse(e.to_string()))?;
        let mut options: Vec<(String, String)> = env::vars()
            .filter(|(name, _)| PREFIXES.iter().any(|p| name.starts_with(p)))
            .map(|(name, value)| (name.to_lowercase(), value))
            .collect();
        if parsed.scheme() == "http" {
            options.push(("allow_http".to_owned(), "true".to_owned()));
        }
        let (objects, prefix) =
            parse_url_opts(&parsed, options).map_err(|e| refuse(e.to_string()))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(StoreError::Runtime)?;
        let lists = !parsed.scheme().starts_with("http");
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            objects: objects.into(),
            prefix,
            runtime,
            lists,
        })
    }

    /// An object's place in the store: that of a file below the mirror.
    fn location(&self, relative: &Path) -> Result<Location, StoreError> {
        let mut location = self.prefix.clone();
        for part in relative.components() {
            let std::path::Component::Normal(part) = part else {
                return Err(StoreError::Outside { path: relative.to_owned() });
            };
            location = location.join(part.to_string_lossy().as_ref());
        }
        Ok(location)
    }

    /// An object's address, for messages.
    fn place(&self, relative: &Path) -> String {
        format!("{}/{}", self.url, relative.display())
    }

    fn error(
        &self,
        action: &'static str,
        relative: &Path,
        source: object_store::Error,
    ) -> StoreError {
        match source {
            object_store::Error::NotFound { .. } => {
                StoreError::Missing { place: self.place(relative) }
            }
            source => {
                StoreError::Store { action, place: self.place(relative), source: Box::new(source) }
            }
        }
    }
}
