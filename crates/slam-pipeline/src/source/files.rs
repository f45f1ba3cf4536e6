//! A file of a source, and what its name says about it.

use std::path::{Path, PathBuf};

use slam_recipe::Key;

/// File name endings that are taken for audio; what a file really is, the decoder finds out.
pub(super) const EXTENSIONS: [&str; 16] = [
    "wav", "wave", "flac", "mp3", "mp2", "ogg", "oga", "opus", "aif", "aiff", "aifc", "m4a", "m4b",
    "mp4", "aac", "sph",
];

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path below the folder, with `/` between names.
    pub relative: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The hash of its content.
    pub key: Key,
}

/// The path from the root, so that a worker elsewhere finds the file.
pub(crate) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Whether a file's name is that of a lossy format.
pub(super) fn is_lossy(path: &Path) -> bool {
    has_ending(
        &path.to_string_lossy(),
        &["mp3", "mp2", "ogg", "oga", "opus", "m4a", "m4b", "mp4", "aac"],
    )
}

pub(super) fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    endings.iter().any(|e| e.eq_ignore_ascii_case(ending))
}

pub(super) fn is_audio(name: &str) -> bool {
    has_ending(name, &EXTENSIONS)
}
