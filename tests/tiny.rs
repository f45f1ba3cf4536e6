//! A corpus of tiny recordings, and a pipeline over it that cuts it into many shards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::{wav, xtask};

/// Bytes of a shard of the tiny pipeline: a quarter of a second of speech is taken for 4,400.
const SHARD_BYTES: u64 = 22_000;

/// Where a tiny corpus and its data lie.
pub struct Tiny {
    /// The recordings.
    pub input: PathBuf,
    /// The pipeline file.
    pub pipeline: PathBuf,
}

/// A WAV file of a quarter of a second of noise that only the seed decides.
pub fn wav(seed: u64) -> Vec<u8> {
    let mut state = seed;
    wav::of((0..4000).map(|_| (random(&mut state) >> 52) as i16 - 2048))
}

/// The next number of a stream (splitmix64).
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Tiny {
    /// `files` recordings, five to a shard.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn make(folder: &Path, files: u64) -> io::Result<Self> {
        let (input, pipeline) = (folder.join("recordings"), folder.join("tiny.toml"));
        fs::create_dir_all(&input)?;
        for i in 0..files {
            fs::write(input.join(format!("{i:04}.wav")), wav(i))?;
        }
        let text = format!(
            r#"
name = "tiny"
[[datasets]]
name = "tiny"
shard_bytes = {SHARD_BYTES}
source = {{ kind = "folder", folder = "{}" }}
[tokeniser]
name = "mfcc"
features = {{ kind = "mfcc", hop = 640, filters = 20, coefficients = 8, deltas = 0, slices = 1 }}
kmeans = {{ k = 4, seed = 1, rounds = 3, max_frames = 2000 }}
fit_on = "tiny"
"#,
            input.display()
        );
        fs::write(&pipeline, text)?;
        Ok(Self { input, pipeline })
    }

    /// A command over the pipeline: `arguments`, then the pipeline and the data root.
    pub fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = xtask(arguments);
        command.arg("--pipeline").arg(&self.pipeline).arg("--data").arg(data);
        command
    }
}

/// Every file below a folder with its content, but for the work lists; of receipts without what tells of the
/// run and not of the content: host, time, duration.
///
/// # Panics
/// If the folder cannot be read.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(f) = folders.pop() {
        let entries = fs::read_dir(&f).unwrap_or_else(|e| panic!("{}: {e}", f.display()));
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with(".plans") {
                let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let of_run = |line: &&str| {
                    let field = line.trim_start().split(':').next().unwrap_or_default();
                    !["\"host\"", "\"seconds\"", "\"finished_at\""].contains(&field)
                };
                let bytes = if path.extension().is_some_and(|e| e == "json") {
                    String::from_utf8_lossy(&bytes)
                        .lines()
                        .filter(of_run)
                        .map(|l| l.trim_end_matches(','))
                        .collect::<Vec<_>>()
                        .join("\n")
                        .into_bytes()
                } else {
                    bytes
                };
                out.insert(name, bytes);
            }
        }
    }
    out
}
