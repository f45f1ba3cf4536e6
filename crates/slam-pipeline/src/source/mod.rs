//! Sources on disk: which files there are, what they hold, and which go into one shard.

mod error;
mod expected;
mod files;
mod hashes;
mod kinds;
mod list;
mod manifest;
mod manifest_fault;
mod shard_files;

use std::fs;
use std::path::Path;

use slam_recipe::Key;
use slam_recipe::work::Input;

pub use error::SourceError;
pub use files::SourceFile;
pub use kinds::shards;
pub use list::{Listed, list_folder};
pub use manifest_fault::ManifestFault;
pub use shard_files::ShardFiles;

pub(crate) use files::absolute;
pub(crate) use shard_files::into_shards;

/// A file as input of a unit of work.
pub(crate) fn input(path: &Path) -> Result<Input, SourceError> {
    let key =
        Key::of_file(path).map_err(|source| SourceError::Read { path: path.to_owned(), source })?;
    let path = absolute(path.to_owned());
    list::named(&path)?;
    Ok(Input { path, key })
}

/// The files of a model's folder that bear on what it computes: its configuration and its weights, in the
/// order of their names.
pub(crate) fn checkpoint_files(folder: &Path) -> Result<Vec<Input>, SourceError> {
    let read = |source| SourceError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let weights = [".safetensors", ".bin", ".index.json"].iter().any(|e| name.ends_with(e));
        if name == "config.json" || weights {
            files.push(path.clone());
        }
    }
    files.sort();
    files.iter().map(|p| input(p)).collect()
}
