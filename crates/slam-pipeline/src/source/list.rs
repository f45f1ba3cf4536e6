//! The files below a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use slam_recipe::params::Refused;

use super::error::SourceError;
use super::files::{EXTENSIONS, SourceFile, absolute, is_audio};
use super::hashes::{self, Hashed};

/// What a folder holds of a kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The files, in the order of their relative paths.
    pub files: Vec<SourceFile>,
    /// What cannot be used, in the same order.
    pub refused: Vec<Refused>,
}

/// All audio files below a folder, in the order of their relative paths, with the hash of each.
///
/// # Errors
/// If the folder or a file in it cannot be read, or none is audio by name.
pub fn list_folder(folder: &Path) -> Result<Listed, SourceError> {
    let what = format!("audio files (looked for {})", EXTENSIONS.join(", "));
    list(folder, &what, &is_audio)
}

/// All files below a folder that are `wanted` by their relative paths, or the one file that `folder` is.
pub(super) fn list(
    folder: &Path,
    what: &str,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Listed, SourceError> {
    named(&absolute(folder.to_owned()))?;
    let mut found = Found::default();
    if folder.is_file() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.files.push((name, folder.to_owned()));
    } else {
        found.visited.extend(folder.canonicalize());
        walk(folder, "", &mut found)?;
        // Every folder that is reached without a link has its own name; then links are followed, each folder once.
        while let Some((relative, path)) = found.links.pop_first() {
            let target = path
                .canonicalize()
                .map_err(|source| SourceError::Read { path: path.clone(), source })?;
            if found.visited.insert(target) {
                walk(&path, &format!("{relative}/"), &mut found)?;
            }
        }
    }
    let Found { mut files, mut refused, .. } = found;
    files.retain(|(relative, _)| wanted(relative));
    // A link that names no kind of file may have been one to a folder of recordings.
    let is_bare = |id: &str| !id.rsplit('/').next().unwrap_or(id).contains('.');
    refused.retain(|refused| wanted(&refused.id) || is_bare(&refused.id));
    files.sort();
    let Hashed { files, unreadable } = hashes::hashed(folder, files)?;
    let denied = |name: &String| {
        refusal(name, "may not be read", "it may not be read; check its permissions")
    };
    refused.extend(unreadable.iter().map(denied));
    if files.is_empty() {
        return Err(SourceError::Empty { path: folder.to_owned(), what: what.to_owned() });
    }
    refused.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Listed { files, refused })
}

/// Fails for a path that is not UTF-8.
pub(super) fn named(path: &Path) -> Result<&str, SourceError> {
    path.to_str().ok_or_else(|| SourceError::Name { path: path.to_owned() })
}

/// What a walk has found.
#[derive(Default)]
struct Found {
    files: Vec<(String, PathBuf)>,
    refused: Vec<Refused>,
    /// Folders that were walked, without links in their paths.
    visited: BTreeSet<PathBuf>,
    /// Links to folders that are still to be followed.
    links: BTreeMap<String, PathBuf>,
}

impl Found {
    fn refuse(&mut self, relative: &str, reason: &str, error: &str) {
        self.refused.push(refusal(relative, reason, error));
    }
}

fn refusal(relative: &str, reason: &str, error: &str) -> Refused {
    let [source, reason, error] = [relative, reason, error].map(str::to_owned);
    Refused { id: source.clone(), source, reason, error }
}

fn walk(folder: &Path, prefix: &str, found: &mut Found) -> Result<(), SourceError> {
    let read = |source| SourceError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let path = entry.path();
        let name = entry.file_name();
        // What a download has not finished, and what file managers leave behind.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Bytes that are no text are written `\xe9`, so that the file can be found by its row.
        let printable = || name.as_encoded_bytes().escape_ascii().to_string();
        let relative = format!("{prefix}{}", name.to_str().map_or_else(printable, str::to_owned));
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            // Below a link there may be folders that were walked under their own names, or by another link.
            let target = path.canonicalize().unwrap_or_else(|_| path.clone());
            if found.visited.insert(target) {
                walk(&path, &format!("{relative}/"), found)?;
            }
        } else if kind.is_file() || path.is_file() {
            // Lists of work and locks hold text.
            if path.to_str().is_some() {
                found.files.push((relative, path));
            } else {
                let error = "its name, or that of a folder above it, is not UTF-8; rename it";
                found.refuse(&relative, "not named in UTF-8", error);
            }
        } else if path.is_dir() {
            found.links.insert(relative, path);
        } else if kind.is_symlink() && fs::metadata(&path).is_err() {
            found.refuse(&relative, "links to nothing", "it is a link to nothing");
        } else {
            found.refuse(&relative, "not a file", "it is neither a file nor a folder");
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
    fn a_name_that_is_not_utf8_is_left_out_alone_and_named_printably() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let bad = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.wav"));
        fs::write(&bad, b"x").unwrap();
        assert!(list_folder(&bad).unwrap_err().to_string().contains("rename it"));
        fs::write(dir.path().join("a.wav"), b"a").unwrap();
        let folder = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::create_dir(&folder).unwrap();
        for name in ["b.wav", "b.txt"] {
            fs::write(folder.join(name), b"x").unwrap();
        }
        let listed = list_folder(dir.path()).unwrap();
        assert_eq!(listed.files.len(), 1);
        let ids: Vec<_> = listed.refused.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, [r"\xff/b.wav", r"caf\xe9.wav"]);
    }

    #[cfg(unix)]
    #[test]
    fn linked_folders_are_followed_once_and_loops_end() {
        use std::os::unix::fs::symlink;
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("real/deep")).unwrap();
        fs::write(at("real/deep/1.wav"), b"1").unwrap();
        fs::write(elsewhere.path().join("2.wav"), b"2").unwrap();
        // A folder that is here under its own name, one that is elsewhere (twice), loops, and nothing.
        symlink(at("real"), at("again")).unwrap();
        symlink(elsewhere.path(), at("linked")).unwrap();
        symlink(elsewhere.path(), at("zweimal")).unwrap();
        symlink(dir.path(), at("real/deep/loop")).unwrap();
        symlink(elsewhere.path(), elsewhere.path().join("itself")).unwrap();
        symlink(at("gone.wav"), at("dangling.wav")).unwrap();
        symlink(at("unmounted"), at("disk2")).unwrap();
        symlink(at("gone.txt"), at("dangling.txt")).unwrap();
        symlink("/dev/null", at("device.wav")).unwrap();
        let listed = list_folder(dir.path()).unwrap();
        let names: Vec<_> = listed.files.iter().map(|f| f.relative.as_str()).collect();
        assert_eq!(names, ["linked/2.wav", "real/deep/1.wav"]);
        let refused: Vec<_> = listed.refused.iter().map(|r| (&*r.id, &*r.reason)).collect();
        let expected = [
            ("dangling.wav", "links to nothing"),
            ("device.wav", "not a file"),
            ("disk2", "links to nothing"),
        ];
        assert_eq!(refused, expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_recording_below_two_links_or_above_a_link_is_listed_once() {
        use std::os::unix::fs::symlink;
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::create_dir(elsewhere.path().join("sub")).unwrap();
        fs::write(root.join("1.wav"), b"1").unwrap();
        fs::write(dir.path().join("beside.wav"), b"2").unwrap();
        fs::write(elsewhere.path().join("sub/3.wav"), b"3").unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        symlink(elsewhere.path().join("sub"), root.join("a")).unwrap();
        symlink(elsewhere.path(), root.join("b")).unwrap();
        let listed = list_folder(&root).unwrap();
        let names: Vec<_> = listed.files.iter().map(|f| f.relative.as_str()).collect();
        assert_eq!(names, ["1.wav", "a/3.wav", "up/beside.wav"]);
    }

    #[test]
    fn a_folder_is_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for (name, size) in [("b/c/2.FLAC", 5), ("a.wav", 4), ("b/1.mp3", 3), ("notes.txt", 9)] {
            fs::write(dir.path().join(name), vec![0; size]).unwrap();
        }
        let files = list_folder(dir.path()).unwrap().files;
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
