//! Hashes of source files, kept between commands: a corpus of terabytes is not read again for every plan.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use slam_recipe::{Key, publish};

use super::error::SourceError;
use super::files::{SourceFile, absolute};

/// Folders with fewer bytes are read in seconds; their hashes are not kept.
const WORTH_KEEPING: u64 = 4 << 30;

/// A file that was changed this lately may be changed again without its time showing it.
const SETTLED: Duration = Duration::from_secs(10);

/// What is kept of a file: its hash holds as long as size and time of change are these.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    bytes: u64,
    changed_ns: u128,
    key: Key,
}

/// Files with their hashes, and the relative names of those that may not be read.
pub(super) struct Hashed {
    pub(super) files: Vec<SourceFile>,
    pub(super) unreadable: Vec<String>,
}

/// Hashes files, given as relative names and paths, in their order.
pub(super) fn hashed(folder: &Path, files: Vec<(String, PathBuf)>) -> Result<Hashed, SourceError> {
    hashed_with(folder, files, cache_folder().as_deref(), WORTH_KEEPING, SystemTime::now())
}

fn cache_folder() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("slam").join("hashes"))
}

fn hashed_with(
    folder: &Path,
    files: Vec<(String, PathBuf)>,
    cache: Option<&Path>,
    worth_keeping: u64,
    now: SystemTime,
) -> Result<Hashed, SourceError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::Read { path, source }
    };
    let metadata: Vec<Metadata> = files
        .par_iter()
        .map(|(_, path)| fs::metadata(path).map_err(read(path)))
        .collect::<Result<_, _>>()?;
    let total: u64 = metadata.iter().map(Metadata::len).sum();
    let place = absolute(folder.to_owned());
    let name = Key::of_bytes(place.as_os_str().as_encoded_bytes());
    let cache = cache.filter(|_| total >= worth_keeping);
    let cache = cache.map(|cache| cache.join(format!("{}.json", name.short())));
    let old: BTreeMap<String, Kept> = cache
        .as_ref()
        .and_then(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
        .unwrap_or_default();
    let found: Vec<Result<(SourceFile, Option<Kept>), String>> = files
        .into_par_iter()
        .zip(metadata)
        .map(|((relative, path), metadata)| {
            let bytes = metadata.len();
            let changed_ns = changed_ns(&metadata, now).ok();
            let holds = |k: &&Kept| k.bytes == bytes && Some(k.changed_ns) == changed_ns;
            let kept = old.get(&relative).filter(holds);
            let key = match kept {
                Some(kept) => kept.key.clone(),
                None => match Key::of_file(&path) {
                    Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                        return Ok(Err(relative));
                    }
                    key => key.map_err(read(&path))?,
                },
            };
            let keep = changed_ns.map(|changed_ns| Kept { bytes, changed_ns, key: key.clone() });
            Ok(Ok((SourceFile { relative, path, bytes, key }, keep)))
        })
        .collect::<Result<_, SourceError>>()?;
    if let Some(path) = cache {
        let new: BTreeMap<_, _> = found
            .iter()
            .flatten()
            .filter_map(|(file, kept)| Some((file.relative.clone(), kept.clone()?)))
            .collect();
        if new != old
            && let Err(e) = publish::write(&path, &serde_json::to_vec(&new).unwrap_or_default())
        {
            tracing::warn!("the hashes of {} are not kept: {e}", folder.display());
        }
    }
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Ok((file, _)) => files.push(file),
            Err(relative) => unreadable.push(relative),
        }
    }
    Ok(Hashed { files, unreadable })
}

/// When a file was changed last, if that is long enough ago.
fn changed_ns(metadata: &Metadata, now: SystemTime) -> io::Result<u128> {
    let changed = metadata.modified()?;
    match now.duration_since(changed) {
        Ok(age) if age >= SETTLED => {
            Ok(changed.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_nanos())
        }
        _ => Err(io::Error::other("changed just now")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_kept_hash_holds_until_the_file_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, cache) = (dir.path().join("d"), dir.path().join("cache"));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("a");
        fs::write(&path, b"one").unwrap();
        let later = SystemTime::now() + Duration::from_hours(1);
        let key = |now, worth| {
            let files = vec![("a".to_owned(), path.clone())];
            hashed_with(&folder, files, Some(&cache), worth, now).unwrap().files[0].key.clone()
        };
        // Too small, or changed just now: nothing is kept.
        assert_eq!(key(later, 100), Key::of_bytes(b"one"));
        assert!(!cache.exists());
        assert_eq!(key(SystemTime::now(), 1), Key::of_bytes(b"one"));
        assert_eq!(key(later, 1), Key::of_bytes(b"one"));
        // Other content with the same size and time is not read: the hash is the kept one.
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, b"two").unwrap();
        let set = |time| fs::File::options().write(true).open(&path).unwrap().set_modified(time);
        set(changed).unwrap();
        assert_eq!(key(later, 1), Key::of_bytes(b"one"));
        set(changed + Duration::from_millis(1)).unwrap();
        assert_eq!(key(later, 1), Key::of_bytes(b"two"));
    }
}
