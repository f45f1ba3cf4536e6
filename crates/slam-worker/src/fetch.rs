//! Fetches what a request names, and says how far it is.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use slam_corpus::fetch::{FetchError, HubSettings, Watch, fetch};
use slam_recipe::Event;
use slam_recipe::event::Outcome;
use slam_recipe::request::FetchRequest;

use crate::exit::Interrupted;

/// Between two reports.
const EVERY: Duration = Duration::from_millis(200);

/// Fetches.
pub(crate) fn run(request: &FetchRequest) -> anyhow::Result<Outcome> {
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
    let watch = Watch { progress: &progress, cancel: slam_interrupt::flag() };
    let fetched = match fetch(request, &HubSettings::from_environment(), &watch) {
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
    Ok(Outcome::Made(text))
}
