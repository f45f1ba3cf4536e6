#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use sha2::{Digest, Sha256};

use slam_recipe::request::{Archive, HubRepository};

use super::*;

/// The paths and ranges that a server received.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A page of the test's server.
#[derive(Clone, Default)]
struct Page {
    body: Vec<u8>,
    /// This status is sent instead of the body, if it is not 200.
    status: u16,
    /// The first answer ends after this many bytes.
    breaks_after: Option<usize>,
    /// The server requires `Authorization: Bearer <this>`.
    token: Option<&'static str>,
    /// Further headers.
    headers: String,
}

fn page(body: impl Into<Vec<u8>>) -> Page {
    Page { body: body.into(), status: 200, ..Page::default() }
}

/// A server on this machine that records requests: path and range.
struct Server {
    url: String,
    asked: Asked,
}

impl Server {
    fn start(pages: BTreeMap<String, Page>) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), pages)
    }

    fn serve(listener: TcpListener, pages: BTreeMap<String, Page>) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let (pages, log) = (Arc::new(Mutex::new(pages)), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &pages, &log);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    stream: TcpStream,
    pages: &Mutex<BTreeMap<String, Page>>,
    asked: &Mutex<Vec<(String, Option<String>)>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        head.lines().find_map(|l| {
            let (key, value) = l.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let range = header("range");
    asked.lock().unwrap().push((path.clone(), range.clone()));
    let mut pages = pages.lock().unwrap();
    let mut stream = stream;
    let Some(page) = pages.get_mut(&path) else {
        return write!(stream, "HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
    };
    let wanted = page.token.map(|token| format!("Bearer {token}"));
    if page.status != 200 || wanted.is_some_and(|w| header("authorization") != Some(w)) {
        let status = if page.status == 200 { 401 } else { page.status };
        return write!(
            stream,
            "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
    }
    if page.headers.contains("X-Foreign") && header("authorization").is_some() {
        // A server that is not the hub's must not see the hub's token.
        let head = "HTTP/1.1 403 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head.as_bytes()).unwrap();
    }
    let first = range
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .unwrap_or(0);
    let rest = &page.body[first.min(page.body.len())..];
    let status = if first > 0 { 206 } else { 200 };
    let content_range = format!("bytes {first}-{}/{}", page.body.len() - 1, page.body.len());
    let sent = page.breaks_after.take().unwrap_or(rest.len()).min(rest.len());
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nContent-Range: {content_range}\r\n\
         Connection: close\r\nETag: \"v1\"\r\n{}\r\n",
        rest.len(),
        page.headers
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&rest[..sent]).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    http::hex(&Sha256::digest(bytes))
}

fn settings(endpoint: &str, cache: &Path) -> HubSettings {
    HubSettings {
        endpoint: endpoint.to_owned(),
        token: None,
        cache: cache.to_owned(),
        offline: false,
    }
}

fn run(request: &FetchRequest, hub: &HubSettings) -> Result<Fetched, FetchError> {
    let cancel = AtomicBool::new(false);
    fetch(request, hub, &Watch { progress: &|_, _, _| (), cancel: &cancel })
}

fn file_of(url: String, sha256: Option<String>) -> FetchFile {
    FetchFile { url, sha256, unpack: None, strip: 0, only: String::new() }
}

/// Makes bytes that differ from position to position.
fn noise(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * i / 7 % 251) as u8).collect()
}

#[test]
fn an_interrupted_download_goes_on_where_it_broke_off() {
    let body = noise(300_000);
    let broken = Page { breaks_after: Some(100_000), ..page(body.clone()) };
    let server = Server::start(BTreeMap::from([("/a/b.bin".to_owned(), broken)]));
    let dir = tempfile::tempdir().unwrap();
    let request = FetchRequest {
        folder: dir.path().join("d"),
        files: vec![file_of(format!("{}/a/b.bin?x=1", server.url), Some(sha256(&body)))],
        hub: None,
    };
    // The query is part of the address.
    let hub = settings(&server.url, dir.path());
    assert!(matches!(run(&request, &hub), Err(FetchError::Status { status: 404, .. })));
    let files = vec![file_of(format!("{}/a/b.bin", server.url), Some(sha256(&body)))];
    let request = FetchRequest { files, ..request };
    assert!(request.folder.join(".fetch/incomplete").is_file());
    let fetched = run(&request, &hub).unwrap();
    assert_eq!((fetched.files, fetched.kept), (1, 0));
    assert_eq!(fs::read(request.folder.join("b.bin")).unwrap(), body);
    assert!(!request.folder.join(".fetch/incomplete").exists());
    let ranges: Vec<_> = server.asked().into_iter().skip(1).map(|(_, range)| range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
    // A file that is already there is not requested again.
    assert_eq!(run(&request, &hub).unwrap(), Fetched { files: 0, kept: 1, bytes: 0 });
    assert_eq!(server.asked().len(), 3);
    let left: Vec<_> =
        fs::read_dir(&request.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_download_of_an_earlier_process_is_continued() {
    let body = noise(50_000);
    let server = Server::start(BTreeMap::from([("/x".to_owned(), page(body.clone()))]));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.part"), &body[..20_000]).unwrap();
    let files = vec![file_of(format!("{}/x", server.url), Some(sha256(&body)))];
    let request = FetchRequest { folder: dir.path().to_owned(), files, hub: None };
    run(&request, &settings(&server.url, dir.path())).unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), body);
    assert_eq!(server.asked()[0].1.as_deref(), Some("bytes=20000-"));
}

#[test]
fn another_file_than_expected_is_refused_and_removed() {
    let server = Server::start(BTreeMap::from([("/x".to_owned(), page(noise(1000)))]));
    let dir = tempfile::tempdir().unwrap();
    let files = vec![file_of(format!("{}/x", server.url), Some("0".repeat(64)))];
    let request = FetchRequest { folder: dir.path().to_owned(), files, hub: None };
    let error = run(&request, &settings(&server.url, dir.path())).unwrap_err().to_string();
    assert!(error.contains("run the same command again") && error.contains(&sha256(&noise(1000))));
    assert!(!dir.path().join("x").exists() && !dir.path().join("x.part").exists());
}

/// Makes a tar file from names and contents.
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // A hostile archive would have this name. The library refuses to write it, so we write it directly.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn archives_are_unpacked_into_one_folder_and_not_fetched_twice() {
    let one = gzipped(&tar(&[("Libri/README", b"r"), ("Libri/dev/1/a.flac", b"a")]));
    let two = tar(&[("Libri/dev/2/b.flac", b"b"), ("Libri/train/c.flac", b"c")]);
    let pages =
        [("/one.tar.gz", page(one)), ("/two.tar", page(two))].map(|(p, b)| (p.to_owned(), b));
    let server = Server::start(pages.into());
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, form| FetchFile {
        unpack: Some(form),
        strip: 1,
        ..file_of(format!("{}/{name}", server.url), None)
    };
    let request = FetchRequest {
        folder: dir.path().join("L"),
        files: vec![archive("one.tar.gz", Archive::TarGz), archive("two.tar", Archive::Tar)],
        hub: None,
    };
    let hub = settings(&server.url, dir.path());
    assert_eq!(run(&request, &hub).unwrap().files, 2);
    for (name, content) in
        [("README", "r"), ("dev/1/a.flac", "a"), ("dev/2/b.flac", "b"), ("train/c.flac", "c")]
    {
        assert_eq!(fs::read_to_string(request.folder.join(name)).unwrap(), content);
    }
    assert_eq!(run(&request, &hub).unwrap(), Fetched { files: 0, kept: 2, bytes: 0 });
    assert_eq!(server.asked().len(), 2);
    let own: Vec<_> = fs::read_dir(request.folder.join(".fetch"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        own.iter().all(|name| Path::new(name).extension().is_some_and(|e| e == "done")),
        "{own:?}"
    );
}

#[test]
fn of_an_archive_only_the_folder_that_is_asked_for_is_unpacked() {
    let bytes = tar(&[("TED/data/sph/a.sph", b"a"), ("TED/legacy/sph/a.sph", b"b")]);
    let server = Server::start(BTreeMap::from([("/ted.tar".to_owned(), page(bytes))]));
    let dir = tempfile::tempdir().unwrap();
    let file = |only: &str| FetchFile {
        unpack: Some(Archive::Tar),
        strip: 2,
        only: only.into(),
        ..file_of(format!("{}/ted.tar", server.url), None)
    };
    let mut request =
        FetchRequest { folder: dir.path().join("T"), files: vec![file("TED/dat")], hub: None };
    let hub = settings(&server.url, dir.path());
    let error = run(&request, &hub).unwrap_err().to_string();
    assert!(error.contains("no file is in its folder TED/dat"), "{error}");
    request.files = vec![file("TED/data")];
    run(&request, &hub).unwrap();
    assert_eq!(fs::read_to_string(request.folder.join("sph/a.sph")).unwrap(), "a");
}

#[test]
fn an_archive_that_leads_out_of_its_folder_or_breaks_off_leaves_nothing() {
    let whole = gzipped(&tar(&[("a/x", &noise(40_000)[..])]));
    for (bytes, named) in [
        (tar(&[("ok", b"1"), ("../evil", b"2")]), "leads out"),
        (whole[..whole.len() / 2].to_vec(), "cannot be unpacked"),
        (tar(&[]), "no file"),
    ] {
        let form = if named == "cannot be unpacked" { Archive::TarGz } else { Archive::Tar };
        let server = Server::start(BTreeMap::from([("/x.tar".to_owned(), page(bytes))]));
        let dir = tempfile::tempdir().unwrap();
        let file =
            FetchFile { unpack: Some(form), ..file_of(format!("{}/x.tar", server.url), None) };
        let folder = dir.path().join("d");
        let request = FetchRequest { folder: folder.clone(), files: vec![file], hub: None };
        let error = run(&request, &settings(&server.url, dir.path())).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert!(!dir.path().join("evil").exists() && !folder.join("ok").exists());
        assert!(!folder.join(".fetch/x.tar.done").exists());
    }
}

const REPOSITORY: &str = "slprl/SpokenSwag";

fn hub_request(folder: &Path) -> FetchRequest {
    FetchRequest {
        folder: folder.to_owned(),
        files: vec![],
        hub: Some(HubRepository {
            repository: REPOSITORY.to_owned(),
            revision: "refs/convert/parquet".to_owned(),
            include: vec!["data/train-".to_owned()],
        }),
    }
}

/// Makes a hub whose list has two pages.
fn hub_server(token: Option<&'static str>, wrong_hash: bool) -> Server {
    let entry = |path: &str, body: &[u8], lfs: bool| {
        let mut entry = json!({"type": "file", "path": path, "size": body.len(), "oid": "git"});
        if lfs {
            let hash = if wrong_hash { "0".repeat(64) } else { sha256(body) };
            entry["lfs"] = json!({"oid": hash, "size": body.len(), "pointerSize": 130});
        }
        entry
    };
    let (a, b) = (noise(30_000), noise(10));
    let tree = format!("/api/datasets/{REPOSITORY}/tree/refs%2Fconvert%2Fparquet?recursive=true");
    let second = format!("{tree}&cursor=2");
    let file =
        |name: &str| format!("/datasets/{REPOSITORY}/resolve/refs%2Fconvert%2Fparquet/{name}");
    let first_page = json!([
        {"type": "directory", "path": "data", "size": 0, "oid": "git"},
        entry("data/validation-0.parquet", b"no", true),
        entry("data/train-1.parquet", &b, false),
    ]);
    let with_token = |page: Page| Page { token, ..page };
    let mut pages = BTreeMap::from([
        (second.clone(), page(json!([entry("data/train-0.parquet", &a, true)]).to_string())),
        (file("data/train-0.parquet"), page(a.clone())),
        (file("data/train-1.parquet"), page(b.clone())),
    ]);
    pages.insert(tree.clone(), page(first_page.to_string()));
    let mut pages: BTreeMap<_, _> =
        pages.into_iter().map(|(path, page)| (path, with_token(page))).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(first) = pages.get_mut(&tree) {
        let address = listener.local_addr().unwrap();
        first.headers = format!("Link: <http://{address}{second}>; rel=\"next\"\r\n");
    }
    Server::serve(listener, pages)
}

#[test]
fn a_hub_repository_is_listed_page_by_page_and_fetched() {
    let server = hub_server(Some("hf_secret"), false);
    let dir = tempfile::tempdir().unwrap();
    let request = hub_request(&dir.path().join("d"));
    let hub = settings(&server.url, dir.path());
    let error = run(&request, &hub).unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("HF_TOKEN"), "{error}");
    let hub = HubSettings { token: Some("hf_secret".to_owned()), ..hub };
    assert_eq!(run(&request, &hub).unwrap().files, 2);
    let read = |name: &str| fs::read(request.folder.join("data").join(name));
    assert_eq!(read("train-0.parquet").unwrap(), noise(30_000));
    assert_eq!(read("train-1.parquet").unwrap(), noise(10));
    assert!(read("validation-0.parquet").is_err());
    assert_eq!(run(&request, &hub).unwrap(), Fetched { files: 0, kept: 2, bytes: 0 });
}

#[test]
fn a_page_on_another_server_is_read_without_the_token() {
    let entry = json!([{"type": "file", "path": "data/train-9.parquet", "size": 1, "oid": "git"}]);
    let foreign = Page { headers: "X-Foreign: 1\r\n".into(), ..page(entry.to_string()) };
    let other = Server::start(BTreeMap::from([("/next".to_owned(), foreign)]));
    let tree = format!("/api/datasets/{REPOSITORY}/tree/refs%2Fconvert%2Fparquet?recursive=true");
    let resolve = format!("/datasets/{REPOSITORY}/resolve/refs%2Fconvert%2Fparquet/data/");
    let first = Page {
        headers: format!("Link: <{}/next>; rel=\"next\"\r\n", other.url),
        token: Some("hf_secret"),
        ..page(b"[]".to_vec())
    };
    let file = Page { token: Some("hf_secret"), ..page(b"x".to_vec()) };
    let hub =
        Server::start(BTreeMap::from([(tree, first), (format!("{resolve}train-9.parquet"), file)]));
    let dir = tempfile::tempdir().unwrap();
    let request = hub_request(&dir.path().join("d"));
    let token = Some("hf_secret".to_owned());
    let settings = HubSettings { token, ..settings(&hub.url, dir.path()) };
    assert_eq!(run(&request, &settings).unwrap().files, 1);
    assert_eq!(other.asked().len(), 1);
}

#[test]
fn servers_are_told_apart_by_scheme_host_and_port() {
    let hub = "https://huggingface.co";
    assert!(hub::same_origin("https://huggingface.co:443/api?x", hub));
    for other in [
        "https://huggingface.co.evil/api",
        "https://huggingface.co@evil/api",
        "http://huggingface.co/api",
        "https://huggingface.co:8443/api",
        "nonsense",
    ] {
        assert!(!hub::same_origin(other, hub), "{other}");
    }
}

#[test]
fn pages_that_name_each_other_in_a_circle_end() {
    let tree = format!("/api/datasets/{REPOSITORY}/tree/refs%2Fconvert%2Fparquet?recursive=true");
    let first =
        Page { headers: format!("Link: <{tree}>; rel=\"next\"\r\n"), ..page(b"[]".to_vec()) };
    let hub = Server::start(BTreeMap::from([(tree, first)]));
    let dir = tempfile::tempdir().unwrap();
    let error = run(&hub_request(&dir.path().join("d")), &settings(&hub.url, dir.path()));
    assert!(error.unwrap_err().to_string().contains("circle"));
}

#[test]
fn a_large_file_of_the_hub_is_checked_by_its_own_hash() {
    let server = hub_server(None, true);
    let dir = tempfile::tempdir().unwrap();
    let request = hub_request(&dir.path().join("d"));
    let error = run(&request, &settings(&server.url, dir.path())).unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
}

#[test]
fn what_the_cache_of_huggingface_hub_holds_is_not_downloaded() {
    let server = hub_server(None, false);
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("hub");
    let repository = cache.join("datasets--slprl--SpokenSwag");
    let snapshot = repository.join("snapshots/abc123");
    fs::create_dir_all(snapshot.join("data")).unwrap();
    fs::create_dir_all(repository.join("refs/refs/convert")).unwrap();
    fs::write(repository.join("refs/refs/convert/parquet"), "abc123").unwrap();
    fs::write(snapshot.join("data/train-0.parquet"), noise(30_000)).unwrap();
    fs::write(snapshot.join("data/validation-0.parquet"), b"no").unwrap();
    let request = hub_request(&dir.path().join("d"));
    let fetched = run(&request, &settings(&server.url, &cache)).unwrap();
    assert_eq!((fetched.files, fetched.kept), (1, 1));
    assert!(!server.asked().iter().any(|(path, _)| path.ends_with("train-0.parquet")));

    // Offline, only the cache is available.
    let request = hub_request(&dir.path().join("e"));
    let offline = HubSettings { offline: true, ..settings("http://127.0.0.1:1", &cache) };
    assert_eq!(run(&request, &offline).unwrap().kept, 1);
    assert_eq!(fs::read(request.folder.join("data/train-0.parquet")).unwrap(), noise(30_000));
    let elsewhere = HubSettings { cache: dir.path().join("none"), ..offline };
    let error = run(&request, &elsewhere).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE") && error.contains("none"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_a_message_about_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let request = hub_request(dir.path());
    let error = run(&request, &settings("http://127.0.0.1:1", dir.path())).unwrap_err().to_string();
    assert!(error.contains("check the connection"), "{error}");
}

#[test]
fn the_hubs_variables_are_those_of_huggingface_hub() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "hf_file\n").unwrap();
    let home = dir.path().to_string_lossy().into_owned();
    let with = |variables: &[(&str, &str)]| {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        HubSettings::from_variables(&|name| variables.get(name).map(|v| (*v).to_owned()))
    };
    let plain = with(&[("HOME", "/home/x")]);
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert_eq!(plain.cache, Path::new("/home/x/.cache/huggingface/hub"));
    assert_eq!((plain.token, plain.offline), (None, false));
    let hub =
        with(&[("HF_HOME", &home), ("HF_ENDPOINT", "http://mirror/"), ("HF_HUB_OFFLINE", "1")]);
    assert_eq!(hub.endpoint, "http://mirror");
    assert_eq!((hub.token.as_deref(), hub.offline), (Some("hf_file"), true));
    assert_eq!(hub.cache, dir.path().join("hub"));
    let hub = with(&[("HF_HOME", &home), ("HF_TOKEN", "hf_env"), ("HF_HUB_CACHE", "/c")]);
    assert_eq!((hub.token.as_deref(), hub.cache.as_path()), (Some("hf_env"), Path::new("/c")));
}
