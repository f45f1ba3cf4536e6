//! Downloads over HTTP that resume where they broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::{FetchError, disk};
use super::watch::Watch;

/// The waits between tries that brought no new bytes.
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// The number of bytes read at once.
const BLOCK: usize = 1 << 17;

/// A file to download.
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    /// A token of the hub. It is sent to this address, but not to addresses that the server redirects to.
    pub(super) token: Option<&'a str>,
    pub(super) sha256: Option<&'a str>,
    /// The size that the file must have.
    pub(super) size: Option<u64>,
}

pub(super) struct Client {
    agent: ureq::Agent,
}

/// How a try ended.
enum Try {
    /// The whole file is there.
    Whole,
    /// It broke off, after this many new bytes.
    Broke { new: u64, message: String },
}

impl Client {
    pub(super) fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .timeout_per_read(Some(Duration::from_mins(1)))
            .user_agent(concat!("slam/", env!("CARGO_PKG_VERSION")))
            // Ask for uncompressed bytes: a range of a compressed answer is not a range of the file.
            .accept_encoding("identity")
            .build()
            .new_agent();
        Self { agent }
    }

    fn get(
        &self,
        url: &str,
        token: Option<&str>,
    ) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        let request = self.agent.get(url);
        match token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Fetches a short answer. Returns its text, and the address of the next page if the answer names one.
    pub(super) fn text(
        &self,
        url: &str,
        token: Option<&str>,
    ) -> Result<(String, Option<String>), FetchError> {
        let network = |message: String| FetchError::Network { url: url.to_owned(), message };
        let mut last = String::new();
        for wait in [Duration::ZERO].iter().chain(&WAITS[..2]) {
            thread::sleep(*wait);
            let mut response = match self.get(url, token).call() {
                Ok(response) => response,
                Err(e) => {
                    last = e.to_string();
                    continue;
                }
            };
            let status = response.status().as_u16();
            match status {
                200 => {}
                429 | 500..=599 => {
                    last = format!("the server answers {status}");
                    continue;
                }
                _ => return Err(refused(url, status)),
            }
            let next = response.headers().get("link").and_then(|l| next_page(l.to_str().ok()?));
            let text = response.body_mut().with_config().limit(256 << 20).read_to_string();
            return text.map(|text| (text, next)).map_err(|e| network(e.to_string()));
        }
        Err(network(last))
    }

    /// Downloads a file, checks it and puts it into place. Returns how many bytes came over the network.
    pub(super) fn download(
        &self,
        asked: &Asked<'_>,
        target: &Path,
        watch: &Watch<'_>,
    ) -> Result<u64, FetchError> {
        let part = beside(target, ".part");
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(disk(folder))?;
        }
        let (mut came, mut futile) = (0, 0);
        loop {
            match self.try_once(asked, target, &part, watch)? {
                Try::Whole => break,
                Try::Broke { new, message } => {
                    came += new;
                    if new > 0 {
                        futile = 0;
                    }
                    let Some(wait) = WAITS.get(futile) else {
                        return Err(FetchError::Network { url: asked.url.to_owned(), message });
                    };
                    futile += 1;
                    tracing::warn!(url = asked.url, "{message}; going on");
                    thread::sleep(*wait);
                }
            }
        }
        let size = fs::metadata(&part).map_err(disk(&part))?.len();
        check(asked, &part, size)?;
        File::open(&part).and_then(|f| f.sync_all()).map_err(disk(&part))?;
        fs::rename(&part, target).map_err(disk(target))?;
        let _ = fs::remove_file(beside(target, ".etag"));
        Ok(came.max(size))
    }

    fn try_once(
        &self,
        asked: &Asked<'_>,
        target: &Path,
        part: &Path,
        watch: &Watch<'_>,
    ) -> Result<Try, FetchError> {
        let etag_file = beside(target, ".etag");
        let mut have = fs::metadata(part).map_or(0, |m| m.len());
        let mut request = self.get(asked.url, asked.token);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
            if let Ok(etag) = fs::read_to_string(&etag_file) {
                // If the file has changed by now, the server sends it whole.
                request = request.header("If-Range", etag);
            }
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(e) => return Ok(Try::Broke { new: 0, message: e.to_string() }),
        };
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let status = response.status().as_u16();
        let range = header("content-range");
        match status {
            206 if range.as_ref().is_some_and(|r| r.starts_with(&format!("bytes {have}-"))) => {}
            200 => have = 0,
            206 | 416 => {
                let total = range.as_ref().and_then(|r| r.rsplit('/').next()?.parse().ok());
                if status == 416 && have > 0 && total == Some(have) {
                    return Ok(Try::Whole);
                }
                fs::remove_file(part).map_err(disk(part))?;
                let message = "the server does not have the range that is missing".to_owned();
                return Ok(Try::Broke { new: 0, message });
            }
            429 | 500..=599 => {
                let message = format!("the server answers {status}");
                return Ok(Try::Broke { new: 0, message });
            }
            _ => return Err(refused(asked.url, status)),
        }
        match header("etag").filter(|etag| !etag.starts_with("W/")) {
            Some(etag) => fs::write(&etag_file, etag).map_err(disk(&etag_file))?,
            None => drop(fs::remove_file(&etag_file)),
        }
        let length = header("content-length").and_then(|l| l.parse::<u64>().ok());
        let size = length.map(|l| l + have);
        let mut file = OpenOptions::new()
            .create(true)
            .append(have > 0)
            .write(true)
            .truncate(have == 0)
            .open(part)
            .map_err(disk(part))?;
        let mut reader = response.body_mut().as_reader();
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let (mut block, mut new) = (vec![0; BLOCK], 0);
        loop {
            watch.report(&name, have + new, size)?;
            match reader.read(&mut block) {
                Ok(0) => break,
                Ok(n) => {
                    file.write_all(&block[..n]).map_err(disk(part))?;
                    new += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Ok(Try::Broke { new, message: e.to_string() }),
            }
        }
        match size {
            Some(size) if have + new < size => Ok(Try::Broke {
                new,
                message: format!("the connection ended after {} of {size} bytes", have + new),
            }),
            _ => Ok(Try::Whole),
        }
    }
}

fn refused(url: &str, status: u16) -> FetchError {
    let url = url.to_owned();
    match status {
        401 | 403 => FetchError::Token { url, status },
        _ => FetchError::Status { url, status },
    }
}

/// Refuses and removes a file that is not the one that was asked for.
fn check(asked: &Asked<'_>, part: &Path, size: u64) -> Result<(), FetchError> {
    if let Some(expected) = asked.size.filter(|&expected| expected != size) {
        fs::remove_file(part).map_err(disk(part))?;
        let message = format!("it has {size} bytes, not {expected}; the download was removed");
        return Err(FetchError::Network { url: asked.url.to_owned(), message });
    }
    let Some(expected) = asked.sha256 else { return Ok(()) };
    let mut file = File::open(part).map_err(disk(part))?;
    let (mut hasher, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut block).map_err(disk(part))?;
        if n == 0 {
            break;
        }
        hasher.update(&block[..n]);
    }
    let found = hex(&hasher.finalize());
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    fs::remove_file(part).map_err(disk(part))?;
    Err(FetchError::Checksum { url: asked.url.to_owned(), expected: expected.to_owned(), found })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    target.with_file_name(name)
}

/// Returns the address of the next page, from a header `Link: <address>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    link.split(',').find_map(|part| {
        let (address, relation) = part.split_once('>')?;
        let address = address.trim().strip_prefix('<')?;
        relation.contains("rel=\"next\"").then(|| address.to_owned())
    })
}
