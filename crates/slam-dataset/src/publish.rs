//! Publication of a file in one step: temporary file, fsync, rename, fsync of the folder.
//!
//! A crash at any instant leaves the old file or the new one. Temporary files of a process that died are
//! named so that the next writer of the same file replaces them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk, or a quota or a limit, is full.
    #[error(
        "failed to write {path}: no space left; free some, or choose another --data folder (finished shards are kept)"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("failed to write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PublishError {
    /// Wraps an I/O error on a file.
    pub fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}

/// The place to write a file before it is published.
#[derive(Debug)]
pub struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Makes the target's folder and picks a temporary name beside the target.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(target: &Path) -> Result<Self, PublishError> {
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(|e| PublishError::new(folder, e))?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        Ok(Self { temporary: target.with_file_name(name), target: target.to_owned() })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Syncs the temporary file and renames it to its target.
    ///
    /// # Errors
    /// If the file is missing, or the disk refuses; the target is then as it was.
    pub fn publish(self) -> Result<(), PublishError> {
        let wrap = |e| PublishError::new(&self.target, e);
        File::open(&self.temporary).and_then(|f| f.sync_all()).map_err(wrap)?;
        fs::rename(&self.temporary, &self.target).map_err(wrap)?;
        // The rename itself must survive a power cut; some file systems refuse to sync a folder.
        let _ = File::open(parent(&self.target)).and_then(|f| f.sync_all());
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Publishes some bytes under a path.
///
/// # Errors
/// If the disk refuses; the file is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let staged = Staged::new(path)?;
    File::create(staged.path())
        .and_then(|mut f| f.write_all(bytes))
        .map_err(|e| PublishError::new(path, e))?;
    staged.publish()
}

/// Removes temporary files that dead processes left in a folder, for the file `target` only.
pub fn sweep(target: &Path) {
    let (Some(name), Ok(entries)) = (target.file_name(), fs::read_dir(parent(target))) else {
        return;
    };
    let prefix = format!("{}.", name.to_string_lossy());
    for entry in entries.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = found.strip_prefix(&prefix).and_then(|r| r.strip_suffix(".tmp")) else {
            continue;
        };
        let alive = pid.parse::<u32>().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
        if !alive {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unpublished_file_leaves_the_old_one_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        write(&path, b"old").unwrap();
        let staged = Staged::new(&path).unwrap();
        fs::write(staged.path(), b"half").unwrap();
        drop(staged);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn sweep_removes_what_a_dead_process_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        fs::write(dir.path().join("x.parquet.4294967294.tmp"), b"half").unwrap();
        fs::write(dir.path().join("y.parquet.4294967294.tmp"), b"half").unwrap();
        sweep(&path);
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["y.parquet.4294967294.tmp"]);
    }
}
