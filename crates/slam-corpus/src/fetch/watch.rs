//! What a fetch says while it runs and at its end.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::FetchError;

/// Reports the progress of a fetch, and lets it be stopped.
pub struct Watch<'a> {
    /// Called with the file, its bytes so far, and its size if it is known.
    pub progress: &'a (dyn Fn(&str, u64, Option<u64>) + Sync),
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
}

impl Watch<'_> {
    pub(super) fn report(
        &self,
        name: &str,
        bytes: u64,
        size: Option<u64>,
    ) -> Result<(), FetchError> {
        (self.progress)(name, bytes, size);
        if self.cancel.load(Ordering::Relaxed) { Err(FetchError::Interrupted) } else { Ok(()) }
    }
}

/// What a fetch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The number of files that were fetched.
    pub files: u64,
    /// The number of files that were already there.
    pub kept: u64,
    /// The number of bytes that came over the network.
    pub bytes: u64,
}
