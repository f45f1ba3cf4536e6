//! Fetches public data: files from the web, and repositories of the Hugging Face hub.
//!
//! A file is downloaded next to its final place, resumed if the download broke off, checked, and only then
//! put into place. An archive is unpacked next to its folder and then moved into it. Data that is already
//! there is not fetched again, so an interrupted fetch continues when it is started again.

mod archive;
mod error;
mod http;
mod hub;
mod place;
mod watch;

use std::fs;
use std::path::Path;

use slam_recipe::request::{FetchFile, FetchRequest};

pub use error::FetchError;
pub use hub::HubSettings;
pub use watch::{Fetched, Watch};

use error::disk;
use place::{OWN_FOLDER, safe};

/// Fetches what is not there yet.
///
/// # Errors
/// Fails if something cannot be downloaded, differs from what it should be, or cannot be written. Finished
/// work stays.
pub fn fetch(
    request: &FetchRequest,
    hub: &HubSettings,
    watch: &Watch<'_>,
) -> Result<Fetched, FetchError> {
    let own = request.folder.join(OWN_FOLDER);
    fs::create_dir_all(&own).map_err(disk(&own))?;
    let incomplete = own.join("incomplete");
    fs::write(&incomplete, b"").map_err(disk(&incomplete))?;
    let client = http::Client::new();
    let mut fetched = Fetched::default();
    for file in &request.files {
        remote_file(file, &request.folder, &own, &client, watch, &mut fetched)?;
    }
    if let Some(repository) = &request.hub {
        hub.fetch(repository, &request.folder, &client, watch, &mut fetched)?;
    }
    fs::remove_file(&incomplete).map_err(disk(&incomplete))?;
    Ok(fetched)
}

fn remote_file(
    file: &FetchFile,
    folder: &Path,
    own: &Path,
    client: &http::Client,
    watch: &Watch<'_>,
    fetched: &mut Fetched,
) -> Result<(), FetchError> {
    let path = file.url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').find(|s| !s.is_empty()).unwrap_or("file");
    let name = safe(name)?;
    let (target, done) = match file.unpack {
        // An archive is removed after it is unpacked; a mark records that it is done.
        Some(_) => (own.join(&name), own.join(format!("{}.done", name.display()))),
        None => (folder.join(&name), folder.join(&name)),
    };
    if done.is_file() {
        fetched.kept += 1;
        return Ok(());
    }
    if !target.is_file() {
        let asked =
            http::Asked { url: &file.url, token: None, sha256: file.sha256.as_deref(), size: None };
        fetched.bytes += client.download(&asked, &target, watch)?;
    }
    if let Some(form) = file.unpack {
        archive::unpack(&target, form, file, folder, watch)?;
        fs::write(&done, file.url.as_bytes()).map_err(disk(&done))?;
        fs::remove_file(&target).map_err(disk(&target))?;
    }
    fetched.files += 1;
    Ok(())
}

#[cfg(test)]
mod tests;
