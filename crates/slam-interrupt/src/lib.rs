//! How commands and workers take SIGINT, SIGTERM and SIGUSR1, which schedulers send before the time is up: the
//! first one ends work cleanly, a second one of the same kind at once.
//!
//! Of the same kind, because one Ctrl-C reaches a worker twice: as SIGINT, which the whole process group gets, and as
//! SIGTERM from the command that started it. The two must not count as two requests.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGPIPE, SIGTERM, SIGUSR1};

/// The exit code of a process that was interrupted.
pub const EXIT_CODE: u8 = 130;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Set when the process was asked to stop.
pub fn flag() -> &'static AtomicBool {
    ASKED.get_or_init(Arc::default)
}

/// Starts to listen.
pub fn listen() {
    let flag = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let seen = Arc::<AtomicBool>::default();
        // The order matters: the second signal finds its flag set and ends the process.
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal,
            EXIT_CODE.into(),
            Arc::clone(&seen),
        );
        let _ = signal_hook::flag::register(signal, seen);
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
}

/// From here on the process ends quietly when nobody reads its output any more, as in `… | head`.
pub fn end_with_reader() {
    let always = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_default(SIGPIPE, always);
}
