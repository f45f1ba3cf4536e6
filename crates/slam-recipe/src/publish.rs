//! Publication of a file in one step: temporary file, fsync, rename, fsync of the folder.
//!
//! A crash at any instant leaves the old file or the new one. Temporary files carry the host and the process
//! that write them, so that the next writer of the same file removes what dead ones left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;

/// A temporary file of another host, whose processes cannot be asked after, is litter after this time.
const ABANDONED: Duration = Duration::from_hours(24);

/// This machine's name, for receipts and temporary files.
pub fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let named = fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
        let name: String = named
            .unwrap_or_default()
            .trim()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
            .take(64)
            .collect();
        if name.is_empty() { "unknown".to_owned() } else { name }
    })
}

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
    /// What is to be written has no JSON, as a path that is not UTF-8 has none.
    #[error(
        "failed to write {path}: {source}; rename the file or folder that is not named in UTF-8"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// There is a folder, a device or a pipe in its place.
    #[error("{path} is there and is not a file; name another place")]
    NoFile {
        /// The place.
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
    /// Makes the target's folder and picks a temporary name beside the target; what dead writers of the same
    /// target left is removed.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(target: &Path) -> Result<Self, PublishError> {
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(|e| PublishError::new(folder, e))?;
        sweep_target(target);
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.{}.tmp", host(), std::process::id()));
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
        // A rename would put a file in the place of a device or a pipe, which others use.
        if fs::metadata(&self.target).is_ok_and(|m| !m.is_file()) {
            return Err(PublishError::NoFile { path: self.target.clone() });
        }
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

/// Publishes a value as JSON with a line for each field.
///
/// # Errors
/// If the value has no JSON, or the disk refuses; the file is then as it was.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PublishError> {
    let form = |source| PublishError::Form { path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(form)?;
    text.push(b'\n');
    write(path, &text)
}

/// Removes the temporary files that dead processes left in a folder.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if writer(&entry.file_name().to_string_lossy()).is_some() && is_litter(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// As [`sweep`], for the file `target` only, of which this process writes no other copy.
fn sweep_target(target: &Path) {
    let (Some(name), Ok(entries)) = (target.file_name(), fs::read_dir(parent(target))) else {
        return;
    };
    let name = name.to_string_lossy();
    for entry in entries.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let Some((of, host_of, pid)) = writer(&found) else { continue };
        let namesake = host_of == host() && pid == std::process::id();
        if of == name && (namesake || is_litter(&entry)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The target, host and process of a temporary file by its name.
fn writer(name: &str) -> Option<(&str, &str, u32)> {
    let (rest, pid) = name.strip_suffix(".tmp")?.rsplit_once('.')?;
    let (target, host) = rest.rsplit_once('.')?;
    Some((target, host, pid.parse().ok()?))
}

fn is_litter(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    match writer(&name) {
        None => false,
        Some((_, on, pid)) if on == host() => !is_alive(pid),
        Some(_) => {
            let age =
                entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            age.is_some_and(|age| age > ABANDONED)
        }
    }
}

/// Whether a process of this machine still runs; one that has ended and waits for its parent does not.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some(Some('Z' | 'X')))
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

    #[cfg(unix)]
    #[test]
    fn a_device_in_the_place_of_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        for path in [path.as_path(), dir.path()] {
            let error = write(path, b"x").unwrap_err();
            assert!(matches!(error, PublishError::NoFile { .. }), "{error}");
        }
        assert!(!fs::metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

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
        let on = |file: &str, host: &str, pid: u32| {
            fs::write(dir.path().join(format!("{file}.{host}.{pid}.tmp")), b"half").unwrap();
        };
        // A dead process and this one's namesake; then another file's, another host's and a live process's.
        on("x.parquet", host(), 4_294_967_294);
        on("x.parquet", host(), std::process::id());
        on("y.parquet", host(), 4_294_967_294);
        on("x.parquet", "elsewhere.example", 7);
        on("x.parquet", host(), 1);
        sweep_target(&path);
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().replace(host(), "here"))
            .collect();
        left.sort();
        let mut kept = vec!["x.parquet.elsewhere.example.7.tmp", "y.parquet.here.4294967294.tmp"];
        if Path::new("/proc/1").exists() {
            kept.insert(1, "x.parquet.here.1.tmp");
        }
        assert_eq!(left, kept);
        sweep(dir.path());
        assert!(!dir.path().join(format!("y.parquet.{}.4294967294.tmp", host())).exists());
    }
}
