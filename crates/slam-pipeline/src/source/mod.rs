//! Sources on disk: which files there are, what they hold, and which go into one shard.

mod error;
mod expected;
mod hashes;
mod kinds;
mod manifest;

use std::fs;
use std::path::{Path, PathBuf};

use slam_recipe::Key;
use slam_recipe::work::Input;

/// File name endings that are taken for audio; what a file really is, the decoder finds out.
const EXTENSIONS: [&str; 12] =
    ["wav", "flac", "mp3", "ogg", "oga", "opus", "aif", "aiff", "aifc", "m4a", "aac", "sph"];

pub use error::SourceError;
pub(crate) use kinds::into_shards;
pub use kinds::{ShardFiles, shards};
pub use manifest::ManifestFault;

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

/// All audio files below a folder, in the order of their relative paths, with the hash of each.
///
/// # Errors
/// If the folder or a file in it cannot be read, or none is audio by name.
pub fn list_folder(folder: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let what = format!("audio files (looked for {})", EXTENSIONS.join(", "));
    list(folder, &what, &is_audio)
}

/// All files below a folder that are `wanted` by their relative paths, or the one file that `folder` is.
fn list(
    folder: &Path,
    what: &str,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<SourceFile>, SourceError> {
    let mut found = Vec::new();
    if folder.is_file() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, folder.to_owned()));
    } else {
        walk(folder, "", &mut found)?;
    }
    found.retain(|(relative, _)| wanted(relative));
    if found.is_empty() {
        return Err(SourceError::Empty { path: folder.to_owned(), what: what.to_owned() });
    }
    found.sort();
    hashes::hashed(folder, found)
}

fn walk(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<(String, PathBuf)>,
) -> Result<(), SourceError> {
    let read = |source| SourceError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What a download has not finished, and what file managers leave behind.
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let relative = format!("{prefix}{name}");
        // Follows links to files, but not to folders: a loop of links would never end.
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            walk(&path, &format!("{relative}/"), found)?;
        } else if kind.is_file() || path.is_file() {
            found.push((relative, path));
        }
    }
    Ok(())
}

/// The path from the root, so that a worker elsewhere finds the file.
pub(crate) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A file as input of a unit of work.
pub(crate) fn input(path: &Path) -> Result<Input, SourceError> {
    let key =
        Key::of_file(path).map_err(|source| SourceError::Read { path: path.to_owned(), source })?;
    Ok(Input { path: absolute(path.to_owned()), key })
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

/// Whether a file's name is that of a lossy format.
fn is_lossy(path: &Path) -> bool {
    has_ending(&path.to_string_lossy(), &["mp3", "ogg", "oga", "opus", "m4a", "aac"])
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    endings.iter().any(|e| e.eq_ignore_ascii_case(ending))
}

fn is_audio(name: &str) -> bool {
    has_ending(name, &EXTENSIONS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for (name, size) in [("b/c/2.FLAC", 5), ("a.wav", 4), ("b/1.mp3", 3), ("notes.txt", 9)] {
            fs::write(dir.path().join(name), vec![0; size]).unwrap();
        }
        let files = list_folder(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.relative.as_str()).collect();
        assert_eq!(names, ["a.wav", "b/1.mp3", "b/c/2.FLAC"]);
    }

    #[test]
    fn a_missing_or_empty_folder_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = list_folder(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no audio files"), "{error}");
        let missing = dir.path().join("nowhere");
        assert!(list_folder(&missing).unwrap_err().to_string().contains("nowhere"));
    }
}
