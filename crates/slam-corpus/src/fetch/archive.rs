//! Archives. They are unpacked next to their folder and then moved into it.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use slam_recipe::request::{Archive, FetchFile};
use tar::EntryType;

use super::error::{FetchError, disk};
use super::place::{OWN_FOLDER, safe};
use super::watch::Watch;

/// Unpacks into `folder` the files and folders of an archive that `file` selects.
pub(super) fn unpack(
    path: &Path,
    form: Archive,
    file: &FetchFile,
    folder: &Path,
    watch: &Watch<'_>,
) -> Result<(), FetchError> {
    let staging = folder.join(OWN_FOLDER).join("unpacking");
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(disk(&staging))?;
    }
    fs::create_dir_all(&staging).map_err(disk(&staging))?;
    let bytes = BufReader::with_capacity(1 << 20, File::open(path).map_err(disk(path))?);
    let reader: Box<dyn Read> = match form {
        Archive::Tar => Box::new(bytes),
        Archive::TarGz => Box::new(MultiGzDecoder::new(bytes)),
    };
    let broken = |e: std::io::Error| FetchError::Archive {
        path: path.to_owned(),
        message: format!("it cannot be unpacked: {e}"),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut archive = tar::Archive::new(reader);
    let mut unpacked = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let inside = safe(&entry.path().map_err(broken)?.to_string_lossy())?;
        let asked = inside.starts_with(&file.only);
        let inside: PathBuf = inside.components().skip(file.strip).collect();
        if !asked || inside.as_os_str().is_empty() {
            continue;
        }
        let target = staging.join(&inside);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target).map_err(disk(&target))?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent).map_err(disk(parent))?;
                }
                entry.set_preserve_permissions(false);
                entry.unpack(&target).map_err(broken)?;
                unpacked += 1;
            }
            // Corpora have no links. A link could read outside of its folder.
            other => {
                tracing::warn!("{name}: {} is no file ({other:?}); left out", inside.display());
            }
        }
        watch.report(&format!("{name}, unpacked"), unpacked, None)?;
    }
    if unpacked == 0 {
        let message = match &*file.only {
            "" => format!("no file is in it below {} folders", file.strip),
            only => format!("no file is in its folder {only}"),
        };
        return Err(FetchError::Archive { path: path.to_owned(), message });
    }
    merge(&staging, folder)?;
    fs::remove_dir_all(&staging).map_err(disk(&staging))
}

/// Moves the contents of one folder into another. Folders that both have are merged.
fn merge(from: &Path, to: &Path) -> Result<(), FetchError> {
    for entry in fs::read_dir(from).map_err(disk(from))? {
        let entry = entry.map_err(disk(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() && target.is_dir() {
            merge(&source, &target)?;
        } else {
            fs::rename(&source, &target).map_err(disk(&target))?;
        }
    }
    Ok(())
}
