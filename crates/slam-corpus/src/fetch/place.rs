//! Where a fetch may write.

use std::path::{Component, PathBuf};

use super::error::FetchError;

/// The folder beside the data for archives, unfinished files, and marks of what is done.
pub(super) const OWN_FOLDER: &str = ".fetch";

/// Returns a relative path that stays within its folder.
pub(super) fn safe(name: &str) -> Result<PathBuf, FetchError> {
    let path = PathBuf::from(name);
    let stays = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || !stays { Err(FetchError::Outside(name.to_owned())) } else { Ok(path) }
}
