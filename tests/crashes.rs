//! A run that is killed, or whose disk is full, at any moment: what is published is whole, and the next run ends
//! with the very bytes of an undisturbed one.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slam_tests::Said;
use slam_tests::tiny::{Tiny, random, tree};

/// How often a run is killed.
const KILLS: usize = 50;

fn kill(target: &str) {
    let _ = Command::new("kill").args(["-KILL", "--", target]).stderr(Stdio::null()).status();
}

/// What is killed: everything, as in a power cut; the command alone, so that its workers live on beside those of
/// the next run; or one worker alone.
fn strike(child: &Child, kind: usize) {
    let pid = child.id();
    match kind {
        0 => kill(&format!("-{pid}")),
        1 => kill(&pid.to_string()),
        _ => {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let workers = children.unwrap_or_default();
            match workers.split_whitespace().next() {
                Some(worker) => kill(worker),
                None => kill(&format!("-{pid}")),
            }
        }
    }
}

#[test]
fn a_run_killed_at_fifty_moments_ends_with_the_bytes_of_an_undisturbed_one() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 40).unwrap();
    fs::write(tiny.input.join("0013.wav"), b"no sound").unwrap();
    let arguments = ["prepare-data", "--jobs", "2", "--max-bad-fraction", "0.5"];
    let undisturbed = dir.path().join("undisturbed");
    let started = Instant::now();
    let said: Said = tiny.command(&undisturbed, &arguments).output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    // The first run, from a cold disk, is the slowest.
    let mut whole = started.elapsed();
    let undisturbed = tree(&undisturbed);
    let data = dir.path().join("data");
    let mut state = 8;
    let (mut kills, mut ends) = (0, 0);
    while kills < KILLS {
        let mut command = tiny.command(&data, &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let fresh = !data.exists();
        let moment = Duration::from_micros(random(&mut state) % whole.as_micros().max(1) as u64);
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        while started.elapsed() < moment && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let alone = child.try_wait().unwrap().is_some();
        if !alone {
            strike(&child, kills % 3);
            kills += 1;
        }
        if child.wait().unwrap().success() {
            if fresh && alone {
                whole = started.elapsed();
            }
            ends += 1;
            settle(&data);
            assert_eq!(tree(&data), undisturbed, "after {kills} kills");
            fs::remove_dir_all(&data).unwrap();
        }
    }
    // Workers that outlived their command publish the same bytes or nothing.
    let said: Said = tiny.command(&data, &arguments).output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    settle(&data);
    assert_eq!(tree(&data), undisturbed, "after {kills} kills and {ends} ends");
}

/// Waits until no process that was left alone works on the data any more.
fn settle(data: &Path) {
    let at_work = || {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut commands = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
        let needle = data.display().to_string();
        commands.any(|c| String::from_utf8_lossy(&c).contains(&needle))
    };
    let started = Instant::now();
    while at_work() {
        assert!(started.elapsed() < Duration::from_secs(20), "a worker does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_is_said_nothing_half_is_published_and_the_run_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = Tiny::make(dir.path(), 400).unwrap();
    let set = ["--set", "datasets.tiny.shard_bytes=200000"];
    let arguments = [&["prepare-data", "--stage", "ingest"][..], &set].concat();
    let whole = dir.path().join("whole");
    let said: Said = tiny.command(&whole, &arguments).output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?}");
    // A file system of 1.5 MB, in a mount namespace of its own, holds less than the run's two megabytes.
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let data = disk.join("data");
    let command = tiny.command(&data, &arguments);
    let script = r#"
mount -t tmpfs -o size=1500k tmpfs "$DISK" || exit 77
"$@"; echo "code $?" >&2
find "$DISK" -name '*.tmp' -o -size 0 -name 'part-*' >&2
for shard in "$DISK"/data/tiny/ingest-v2/*.json; do [ -f "${shard%.json}.parquet" ] || echo "half $shard" >&2; done
mount -o remount,size=64m "$DISK" || exit 77
"$@" && cp -r "$DISK/data" "$OUT"
"#;
    let out = dir.path().join("out");
    let mut mounted = Command::new("unshare");
    mounted.args(["-rm", "sh", "-c", script, "sh"]).arg(command.get_program());
    mounted.args(command.get_args()).env("DISK", &disk).env("OUT", &out);
    mounted.current_dir(command.get_current_dir().unwrap());
    mounted.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let Ok(output) = mounted.output() else {
        eprintln!("skipped: there is no unshare(1) here to mount a small disk with");
        return;
    };
    let said = Said::from(output);
    if said.code == Some(77) || said.stderr.contains("unshare failed") {
        eprintln!("skipped: this system lets nobody mount a small disk: {}", said.stderr);
        return;
    }
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("code 1"), "{}", said.stderr);
    assert!(said.stderr.contains("no space left; free some"), "{}", said.stderr);
    assert!(!said.stderr.contains(".tmp\n") && !said.stderr.contains("half "), "{}", said.stderr);
    assert_eq!(tree(&out), tree(&whole));
}
