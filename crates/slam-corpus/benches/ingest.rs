//! Measures the ingest stage on folders of short recordings: audio-hours per second, and the memory it
//! takes.
//!
//! `cargo xtask bench ingest` runs this beside a Python loop (`ingest_peer.py`), which makes the recordings
//! in the folder that `SLAM_BENCH` names. Options: `--files N` sets the number of files of each kind (240
//! of 15 s: an hour).
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use slam_corpus::ingest::ingest;
use slam_dataset::Context;
use slam_recipe::hash::Key;
use slam_recipe::params::{FileEntry, IngestParams, Work};
use slam_recipe::work::Input;
use slam_recipe::{ShardName, WorkUnit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The figure's name, the folder, and the ratio to the Python loop that the project promises.
const SETS: [(&str, &str, f64); 3] = [
    ("FLAC 16 kHz, pass-through", "flac16", 3.0),
    ("FLAC 44.1 kHz", "flac44", 1.5),
    ("MP3 44.1 kHz", "mp3", 1.5),
];

fn main() {
    let Some(folder) = std::env::var_os("SLAM_BENCH").map(PathBuf::from) else {
        println!("SLAM_BENCH names no folder; run `cargo xtask bench ingest`");
        return;
    };
    let files = number_after("--files").unwrap_or(240);
    for (name, kind, at_least) in SETS {
        let paths = recordings(&folder.join(kind), files);
        if paths.is_empty() {
            println!("{name}: no recordings in {}", folder.join(kind).display());
            continue;
        }
        let (hours, seconds) = run(&folder, &paths);
        let value = hours / seconds;
        let unit = "audio-hours/s";
        println!("{}", json!({"name": name, "value": value, "unit": unit, "at_least": at_least}));
    }
    for times in [1, 4] {
        let once = recordings(&folder.join("flac44"), files);
        let paths: Vec<_> = (0..times).flat_map(|_| once.clone()).collect();
        forget_peak();
        let (hours, _) = run(&folder, &paths);
        let name = format!("peak memory, {times} × the FLAC 44.1 kHz ({hours:.1} h)");
        if let Some(value) = peak_mib() {
            println!("{}", json!({"name": name, "value": value, "unit": "MiB", "better": "less"}));
        }
    }
}

fn number_after(option: &str) -> Option<usize> {
    std::env::args().skip_while(|a| a != option).nth(1)?.parse().ok()
}

fn recordings(folder: &Path, files: usize) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.truncate(files);
    paths
}

/// Ingests the files as one shard. Returns hours of audio, and seconds.
fn run(folder: &Path, paths: &[PathBuf]) -> (f64, f64) {
    let names = (0..paths.len()).map(|i| FileEntry::named(format!("{i:06}.wav")));
    let params = IngestParams { files: names.collect(), ..IngestParams::default() };
    let input = |path: &PathBuf| Input { path: path.clone(), key: Key::of_bytes(b"bench") };
    let unit = WorkUnit::new(
        Work::Ingest(params.clone()),
        ShardName::new(0, 1),
        paths.iter().map(input).collect(),
        "slam.parquet".into(),
    );
    let (cancel, out) = (AtomicBool::new(false), folder.join("slam.parquet"));
    let context = Context {
        root: folder,
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools: BTreeMap::new(),
    };
    let started = Instant::now();
    let outcome = ingest(&params, &unit, &context, &out).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(outcome.quarantined, Vec::new());
    fs::remove_file(out).unwrap();
    (outcome.totals["audio_seconds"] / 3600.0, seconds)
}

/// Starts a new measurement of the largest resident size, if the system supports it (Linux).
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Returns the largest resident size since then.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
