//! Completions and manual pages, made from the commands' own definitions.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the completions of a shell.
pub(crate) fn completions<C: CommandFactory>(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut C::command(), "slam", &mut text);
    match io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes a page for every command into a folder.
pub(crate) fn manual<C: CommandFactory>(folder: &Path) -> ExitCode {
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(C::command(), folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: failed to write manual pages into {}: {e}", folder.display());
            ExitCode::FAILURE
        }
    }
}
