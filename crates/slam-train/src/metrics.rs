//! `metrics.jsonl`: one line a report, with everything a curve needs.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::TrainError;

/// Appends lines to a metrics file.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens the file and drops the lines of steps that a resumed run will make again.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path, steps: u64) -> Result<Self, TrainError> {
        if let Ok(text) = fs::read_to_string(path) {
            let before = |line: &&str| {
                let step =
                    serde_json::from_str::<Value>(line).ok().and_then(|v| v["step"].as_u64());
                step.is_some_and(|s| s <= steps)
            };
            let kept: String = text.lines().filter(before).flat_map(|l| [l, "\n"]).collect();
            slam_dataset::publish::write(path, kept.as_bytes())?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| TrainError::write(path, e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&mut self, line: Map<String, Value>) -> Result<(), TrainError> {
        writeln!(self.file, "{}", Value::Object(line)).map_err(|e| TrainError::write(&self.path, e))
    }
}
