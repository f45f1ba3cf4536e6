//! Fetches what a request names, and says how far it is.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use slam_corpus::fetch::{FetchError, FetchRequest, HubSettings, Watch, fetch};
use slam_dataset::Event;

use crate::exit::Interrupted;
use crate::{runs, signals};

/// Between two reports.
const EVERY: Duration = Duration::from_millis(200);

/// Fetches as a request file says.
pub(crate) fn run(request: &Path) -> anyhow::Result<()> {
    let request: FetchRequest = runs::read(request)?;
    let last = Mutex::new(Instant::now());
    let progress = |name: &str, bytes: u64, size: Option<u64>| {
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() < EVERY {
            return;
        }
        *last = Instant::now();
        Event::Progress {
            task: "fetch".to_owned(),
            done: bytes as f64,
            total: size.unwrap_or(0) as f64,
            unit: "bytes".to_owned(),
            message: name.to_owned(),
        }
        .print();
    };
    let watch = Watch { progress: &progress, cancel: signals::flag() };
    let fetched = match fetch(&request, &HubSettings::from_environment(), &watch) {
        Ok(fetched) => fetched,
        Err(FetchError::Interrupted) => return Err(Interrupted.into()),
        Err(e) => return Err(e.into()),
    };
    let text = format!(
        "{} files fetched, {} were there, in {}",
        fetched.files,
        fetched.kept,
        request.folder.display()
    );
    Event::Result { text }.print();
    Ok(())
}
