//! The files below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::files::{EXTENSIONS, SourceFile, absolute, is_audio};
use super::hashes;

/// All audio files below a folder, in the order of their relative paths, with the hash of each.
///
/// # Errors
/// If the folder or a file in it cannot be read, or none is audio by name.
pub fn list_folder(folder: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let what = format!("audio files (looked for {})", EXTENSIONS.join(", "));
    list(folder, &what, &is_audio)
}

/// All files below a folder that are `wanted` by their relative paths, or the one file that `folder` is.
pub(super) fn list(
    folder: &Path,
    what: &str,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<SourceFile>, SourceError> {
    named(&absolute(folder.to_owned()))?;
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

/// Fails for a path that is not UTF-8.
pub(super) fn named(path: &Path) -> Result<&str, SourceError> {
    path.to_str().ok_or_else(|| SourceError::Name { path: path.to_owned() })
}

fn walk(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<(String, PathBuf)>,
) -> Result<(), SourceError> {
    let read = |source| SourceError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // What a download has not finished, and what file managers leave behind.
        if name.starts_with('.') {
            continue;
        }
        named(&path)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_refused_with_its_path() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let bad = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.wav"));
        fs::write(&bad, b"x").unwrap();
        let error = list_folder(dir.path()).unwrap_err();
        assert!(matches!(&error, SourceError::Name { path } if *path == bad), "{error}");
        assert!(list_folder(&bad).unwrap_err().to_string().contains("rename it"));
    }

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
