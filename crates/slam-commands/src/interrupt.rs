//! Ctrl-C and friends (SIGTERM, and SIGUSR1, which schedulers send before the time is up): the first one ends
//! work cleanly, the second at once.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGPIPE, SIGTERM, SIGUSR1};

static CANCEL: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Set when the process was asked to stop.
pub(crate) fn flag() -> &'static AtomicBool {
    CANCEL.get_or_init(Arc::default)
}

/// Starts to listen.
pub(crate) fn listen() {
    let flag = CANCEL.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let seen = Arc::<AtomicBool>::default();
        // The order matters: the second signal finds its flag set and ends the process.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&seen));
        let _ = signal_hook::flag::register(signal, seen);
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
}

/// From here on the process ends quietly when nobody reads its output any more, as in `… | head`.
pub(crate) fn end_with_reader() {
    let always = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_default(SIGPIPE, always);
}
