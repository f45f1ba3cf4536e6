//! Sources that cannot be planned.

use std::io;
use std::path::PathBuf;

use slam_recipe::gold::GoldError;

use super::manifest_fault::ManifestFault;
use crate::tokeniser_files::TokeniserFilesError;

/// A source that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It, or something in it, cannot be read.
    #[error("failed to read {path}: {source}; check the path and its permissions")]
    Read {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its name is not UTF-8, which lists of work and locks cannot hold.
    #[error("{path} is not named in UTF-8; rename it")]
    Name {
        /// What is named so.
        path: PathBuf,
    },
    /// It cannot be listed.
    #[error("{name}: {fault}")]
    Unlisted {
        /// The file below the source's folder.
        name: String,
        /// Why.
        fault: String,
    },
    /// Nothing of a source's kind in it.
    #[error("{path} holds no {what}")]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    /// It is not there.
    #[error(
        "dataset '{dataset}': there is no {folder}; check the path, or name another folder (prepare-data --source \
         {dataset}=DIR), or have it fetched where a data manifest describes it (prepare-data --dataset {dataset})"
    )]
    Missing {
        /// The dataset.
        dataset: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A source of files that names no folder.
    #[error(
        "dataset '{dataset}': source.folder is missing; name the folder of the '{kind}' source"
    )]
    NoFolder {
        /// The dataset.
        dataset: String,
        /// The kind of source.
        kind: &'static str,
    },
    /// A manifest of recordings that cannot be used.
    #[error("manifest {path}: {fault}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        fault: ManifestFault,
    },
    /// A suite's gold file cannot be used.
    #[error(transparent)]
    Gold(#[from] GoldError),
    /// The tokeniser's files are not there, or not those it names.
    #[error(transparent)]
    Tokeniser(#[from] TokeniserFilesError),
}
