#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::work;
use crate::{Context, Outcome};
use slam_recipe::params::{ImportParams, Work};
use slam_recipe::receipt::ShardState;
use slam_recipe::{Key, Receipt, ShardName, WorkUnit};

fn made(mirror: &Path, params: u32, content: &[u8]) -> WorkUnit {
    let (tokeniser, split) = ("t".to_owned(), "train".to_owned());
    let params = ImportParams { tokeniser, k: params, units_per_second: 25.0, split };
    let output = "d/s-v1/part-00000-of-00001.parquet";
    let work = Work::ImportUnits(params);
    let unit = WorkUnit::new(work, ShardName::new(0, 1), vec![], output.into());
    let context = Context {
        root: mirror,
        cancel: &AtomicBool::new(false),
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools: BTreeMap::new(),
    };
    work::execute(&unit, &context, |out| fs::write(out, content).map(|()| Outcome::default()))
        .unwrap();
    unit
}

fn folder_store(folder: &Path) -> Store {
    Store::open(Url::from_directory_path(folder).unwrap().as_str()).unwrap()
}

#[test]
fn a_shard_goes_to_the_store_and_comes_to_another_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, remote) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("remote"));
    fs::create_dir(&remote).unwrap();
    let store = folder_store(&remote);
    // Larger than a part, so that it goes in several.
    let content: Vec<u8> = (0..40_000_000_u32).map(|i| (i >> 8) as u8).collect();
    let unit = made(&a, 1, &content);
    store.push_shard(&a, &unit.output).unwrap();
    assert_eq!(fs::read(remote.join(&unit.output)).unwrap(), content);
    let receipts = store.pull_receipts(&b, &[]).unwrap();
    assert_eq!(receipts, [Receipt::path_of(&unit.output)]);
    assert_eq!(Receipt::state(&b.join(&unit.output), &unit.key), ShardState::Missing);
    assert!(store.pull(&b, &unit.output).unwrap());
    assert!(matches!(Receipt::state(&b.join(&unit.output), &unit.key), ShardState::Done(_)));
    assert_eq!(store.hash(&unit.output).unwrap(), Some(Key::of_bytes(&content)));
    assert_eq!(store.hash(Path::new("d/none.parquet")).unwrap(), None);
    assert!(
        !store.pull(&b, Path::new("d/none.parquet")).unwrap() && !b.join("d/none.parquet").exists()
    );
    assert!(store.pull(&b, Path::new("../x")).is_err());
}

#[test]
fn a_remade_shard_replaces_the_old_one_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, remote) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("remote"));
    fs::create_dir(&remote).unwrap();
    let store = folder_store(&remote);
    let old = made(&a, 1, b"old");
    store.push_shard(&a, &old.output).unwrap();
    store.pull_receipts(&b, &[]).unwrap();
    store.pull(&b, &old.output).unwrap();
    let new = made(&a, 2, b"new");
    store.push_shard(&a, &new.output).unwrap();
    store.pull_receipts(&b, std::slice::from_ref(&new.output)).unwrap();
    // The old bytes do not stay under the new receipt.
    assert_eq!(Receipt::state(&b.join(&new.output), &new.key), ShardState::Missing);
    store.pull(&b, &new.output).unwrap();
    assert_eq!(fs::read(b.join(&new.output)).unwrap(), b"new");
    // Pushing what is there already changes nothing.
    let before = fs::metadata(remote.join(&new.output)).unwrap().modified().unwrap();
    store.push_shard(&b, &new.output).unwrap();
    assert_eq!(fs::metadata(remote.join(&new.output)).unwrap().modified().unwrap(), before);
}

#[test]
fn a_plain_http_server_is_read_by_the_names_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let unit = made(&a, 1, b"content");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data", listener.local_addr().unwrap());
    // Serves files of the mirror `a` under /data until the test's process ends.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            lines.map_while(Result::ok).take_while(|l| !l.is_empty()).for_each(drop);
            let path = request.split(' ').nth(1).unwrap().trim_start_matches("/data/").to_owned();
            let (status, body) = match fs::read(a.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    let store = Store::open(&url).unwrap();
    let missing = std::path::PathBuf::from("d/s-v1/part-00001-of-00002.parquet");
    let found = store.pull_receipts(&b, &[unit.output.clone(), missing]).unwrap();
    assert_eq!(found, [Receipt::path_of(&unit.output)]);
    assert!(store.pull(&b, &unit.output).unwrap());
    assert_eq!(fs::read(b.join(&unit.output)).unwrap(), b"content");
    assert!(store.pull_receipts(&b, &[]).unwrap_err().to_string().contains("name a pipeline"));
}

#[test]
fn an_address_of_no_store_says_what_to_write() {
    for url in ["ftp://x/y", "s3:bucket", "nonsense"] {
        let error = Store::open(url).err().unwrap().to_string();
        assert!(error.contains(url) && error.contains("s3://BUCKET"), "{error}");
    }
}
