//! What a run writes as it goes: `metrics.jsonl`, one line a report with everything a curve needs, and the
//! same figures as a TensorBoard event file.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::error::TrainError;
use crate::tensorboard::EventFile;

/// Appends lines to a run's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
    events: EventFile,
    /// Whether a failure of the event file was told: recording never breaks a run.
    events_failed: bool,
}

impl Metrics {
    /// Opens a run's metrics and drops the lines of steps that a resumed run will make again.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn open(run: &Path, steps: u64) -> Result<Self, TrainError> {
        let path = run.join("metrics.jsonl");
        let mut events =
            EventFile::create(&run.join("tensorboard").join("events.out.tfevents.0.slam"))?;
        if let Ok(text) = fs::read_to_string(&path) {
            let mut kept = String::new();
            for line in text.lines() {
                // A line that a crash cut short is one of those made again.
                let Ok(Value::Object(figures)) = serde_json::from_str(line) else { continue };
                if step_of(&figures).is_some_and(|s| s <= steps) {
                    let _ = write_event(&mut events, &figures);
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
            slam_recipe::publish::write(&path, kept.as_bytes())?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| TrainError::write(&path, e))?;
        Ok(Self { path, file, events, events_failed: false })
    }

    /// Appends a line, with the time of day.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn write(&mut self, mut line: Map<String, Value>) -> Result<(), TrainError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line.insert("time".into(), now.as_secs_f64().into());
        if let Err(e) = write_event(&mut self.events, &line)
            && !self.events_failed
        {
            self.events_failed = true;
            tracing::warn!("failed to write TensorBoard's event file: {e}; metrics.jsonl has all");
        }
        writeln!(self.file, "{}", Value::Object(line)).map_err(|e| TrainError::write(&self.path, e))
    }
}

fn step_of(line: &Map<String, Value>) -> Option<u64> {
    line.get("step")?.as_u64()
}

fn write_event(events: &mut EventFile, line: &Map<String, Value>) -> std::io::Result<()> {
    let time = line.get("time").and_then(Value::as_f64).unwrap_or_default();
    let values = line
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "step" | "time"))
        .filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
    events.scalars(step_of(line).unwrap_or_default(), time, values)
}
