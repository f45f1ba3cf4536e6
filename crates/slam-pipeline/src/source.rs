//! Folders of recordings: which files there are and what they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use slam_dataset::Key;
use slam_dataset::work::Input;

/// File name endings that are taken for audio; what a file really is, the decoder finds out.
const EXTENSIONS: [&str; 11] =
    ["wav", "flac", "mp3", "ogg", "oga", "opus", "aif", "aiff", "aifc", "m4a", "aac"];

/// A recording in a folder.
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

/// A folder that cannot be listed.
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
    /// No audio in it.
    #[error("{path} holds no audio files (looked for {})", EXTENSIONS.join(", "))]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The tokeniser's files are not there, or not those it names.
    #[error("{0}")]
    Tokeniser(String),
}

/// All audio files below a folder, in the order of their relative paths, with the hash of each.
///
/// # Errors
/// If the folder or a file in it cannot be read, or none is audio by name.
pub fn list_folder(folder: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let mut found = Vec::new();
    walk(folder, "", &mut found)?;
    if found.is_empty() {
        return Err(SourceError::Empty { path: folder.to_owned() });
    }
    found.sort();
    found
        .into_par_iter()
        .map(|(relative, path)| {
            let read = |source| SourceError::Read { path: path.clone(), source };
            let key = Key::of_file(&path).map_err(read)?;
            let bytes = fs::metadata(&path).map_err(read)?.len();
            Ok(SourceFile { relative, path, bytes, key })
        })
        .collect()
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
        let path = entry.path();
        let relative = format!("{prefix}{name}");
        // Follows links to files, but not to folders: a loop of links would never end.
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            walk(&path, &format!("{relative}/"), found)?;
        } else if is_audio(&path) && (kind.is_file() || path.is_file()) {
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

fn is_audio(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Cuts a list of files into shards of about `shard_bytes` of source each: a pure function of the list.
pub fn into_shards(files: Vec<SourceFile>, shard_bytes: u64) -> Vec<Vec<SourceFile>> {
    let mut shards: Vec<Vec<SourceFile>> = Vec::new();
    let mut room = 0;
    for file in files {
        match shards.last_mut() {
            Some(shard) if file.bytes <= room => {
                room -= file.bytes;
                shard.push(file);
            }
            _ => {
                room = shard_bytes.saturating_sub(file.bytes);
                shards.push(vec![file]);
            }
        }
    }
    shards
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_and_cut_by_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for (name, size) in [("b/c/2.FLAC", 5), ("a.wav", 4), ("b/1.mp3", 3), ("notes.txt", 9)] {
            fs::write(dir.path().join(name), vec![0; size]).unwrap();
        }
        let files = list_folder(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.relative.as_str()).collect();
        assert_eq!(names, ["a.wav", "b/1.mp3", "b/c/2.FLAC"]);
        let shards = into_shards(files, 7);
        assert_eq!(shards.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
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
