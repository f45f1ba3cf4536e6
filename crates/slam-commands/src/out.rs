//! What the commands print. A reader that has gone, or a full disk behind a redirection, is no reason to panic.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process;

/// As `println!`, but ends the process where stdout takes nothing any more.
macro_rules! say {
    () => { $crate::out::stdout(format_args!("\n")) };
    ($($t:tt)*) => { $crate::out::stdout(format_args!("{}\n", format_args!($($t)*))) };
}

/// As `eprintln!`, but goes on where stderr takes nothing any more.
macro_rules! note {
    ($($t:tt)*) => { $crate::out::stderr(format_args!($($t)*)) };
}

pub(crate) use {note, say};

/// The exit code of a process that SIGPIPE ends, as a shell shows it.
const NO_READER: i32 = 141;

/// Writes to stdout.
pub(crate) fn stdout(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => process::exit(NO_READER),
        Err(e) => {
            stderr(format_args!("error: failed to write to stdout: {e}"));
            process::exit(1);
        }
    }
}

/// Writes a line to stderr, where it can be written.
pub(crate) fn stderr(text: Arguments<'_>) {
    // Nobody can be told that telling failed.
    let _ = writeln!(io::stderr(), "{text}");
}
