//! Files that were made to break a decoder: no panic, no endless loop, and no memory that a header asked for.
//!
//! One test in a file of its own: it measures what the whole process allocates.
#![allow(clippy::unwrap_used, missing_docs, unsafe_code)]

mod made;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use slam_audio::{Activity, AudioError, Decoder, Pieces, flac};

/// The system's allocator, with a count of what is in use.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let used = USED.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(used, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: what the caller promises of the arguments goes for the system's allocator too.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: what the caller promises of the arguments goes for the system's allocator too.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: what the caller promises of the arguments goes for the system's allocator too.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static PANICS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A decoder's tables, a codec's buffers, a filter of an odd rate and a piece of 30 s: far below what a length
/// of 32 bits can ask for.
const LIMIT: usize = 96 << 20;

fn files() -> Vec<Vec<u8>> {
    let fixtures = std::env::var_os("SLAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    );
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codecs");
    let mut paths: Vec<_> = [fixtures.join("audio"), own]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e != "safetensors"))
        .collect();
    paths.sort();
    let samples: Vec<i16> = (0..3000).map(|i| (i % 100) * 50).collect();
    let floats: Vec<f32> = samples.iter().map(|&s| f32::from(s)).collect();
    let mut list: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    list.extend([
        [made::id3(&[0; 200]), made::xing(20, 576, 900), made::mp3(9, 20)].concat().repeat(2),
        made::alac(&samples, &[(50, 100), (50, 1000)]).repeat(2),
        made::ima_adpcm(&[100; 30]),
        made::wav(16_000, &samples).repeat(2),
        made::float_wav(&floats),
        flac::encode(&samples, 16_000).repeat(3),
        made::surround(),
    ]);
    list
}

/// Takes a file as ingest does; how much memory it took at most.
fn take(bytes: Vec<u8>) -> usize {
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    let pieces = || -> Result<u64, AudioError> {
        flac::is_whole(&bytes);
        let pieces = Pieces::new(Decoder::from_bytes(bytes)?, 30 * 16_000, &Activity::Detect)?;
        pieces.map(|piece| Ok(piece?.samples.len() as u64)).sum()
    };
    let _ = pieces();
    PEAK.load(Relaxed).saturating_sub(before)
}

/// Ten hours of WAV in a sparse file, 1.15 GB: what is in memory are a piece and a few blocks.
fn ten_hours() {
    const SAMPLES: u64 = 10 * 3600 * 16_000;
    let path = std::env::temp_dir().join(format!("slam-ten-hours-{}.wav", std::process::id()));
    let mut file = fs::File::create(&path).unwrap();
    let mut header =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    header.extend((2 * SAMPLES as u32).to_le_bytes());
    file.write_all(&header).unwrap();
    file.set_len(44 + 2 * SAMPLES).unwrap();
    drop(file);
    let speech: Vec<_> =
        (0..3600).map(|i| (f64::from(i) * 10.0, f64::from(i) * 10.0 + 9.5)).collect();
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    let decoder = Decoder::open(&path).unwrap();
    let mut pieces = Pieces::new(decoder, 30 * 16_000, &Activity::Given(speech)).unwrap();
    let samples: u64 = pieces.by_ref().map(|piece| piece.unwrap().samples.len() as u64).sum();
    let used = PEAK.load(Relaxed) - before;
    fs::remove_file(&path).unwrap();
    assert_eq!((samples, pieces.num_samples()), (SAMPLES, SAMPLES));
    assert!(used < 16 << 20, "{used} bytes");
}

#[test]
fn no_file_makes_a_decoder_panic_hang_or_take_memory() {
    ten_hours();
    let files = files();
    // What symphonia panics on is caught inside; each place is named once, at the end.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(place);
    }));
    for (i, file) in files.iter().enumerate() {
        let used = take(file.clone());
        assert!(used < LIMIT, "file {i}: {used} bytes");
    }
    // Bytes changed anywhere, most of them near the start where headers are; lengths made huge; ends cut off.
    let change = (
        any::<prop::sample::Index>(),
        any::<bool>(),
        prop_oneof![Just(0u8), Just(0xFF), any::<u8>()],
        1usize..9,
    );
    let strategy = (0..files.len(), prop::collection::vec(change, 1..6), 0.0..1.2f64);
    let cases = if std::env::var_os("SLAM_SLOW").is_some() { 200_000 } else { 4_000 };
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&strategy, |(file, changes, keep)| {
        let mut bytes = files[file].clone();
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        for (at, head, value, run) in changes {
            let within = if head { bytes.len().min(200) } else { bytes.len() };
            if within > 0 {
                let at = at.index(within);
                let end = (at + run).min(bytes.len());
                bytes[at..end].fill(value);
            }
        }
        let used = take(bytes);
        prop_assert!(used < LIMIT, "{used} bytes");
        Ok(())
    });
    std::panic::set_hook(hook);
    println!("caught panics: {:?}", PANICS.lock().unwrap());
    result.unwrap();
}
