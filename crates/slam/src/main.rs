//! The program `slam`: the commands of the project, and the worker that they run.
//!
//! `slam worker` is what the commands start, here or on another machine; people use the other commands.

mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use slam_commands::Door;

/// glibc gives every large block back to the kernel, so that each output tensor would be paged in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train a speech language model on one GPU in a day.
#[derive(Parser)]
#[command(name = "slam", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process parses one")]
enum Command {
    #[command(flatten)]
    Shared(slam_commands::Command),
    /// Carry out units of a work list, or a request: what the other commands start
    Worker(slam_worker::Arguments),
    /// Print the completions of a shell, e.g. slam completions bash > /etc/bash_completion.d/slam
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a manual page for every command
    Man {
        /// The folder that the pages go into, e.g. /usr/local/share/man/man1
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Worker(worker) => {
            slam_commands::log_to_stderr("warn,symphonia=off");
            slam_worker::run(&worker)
        }
        Command::Shared(command) => {
            slam_commands::log_to_stderr("warn");
            // Without a path of its own the program is looked for in PATH, as the shell did.
            let program = std::env::current_exe().unwrap_or_else(|_| "slam".into());
            slam_commands::execute(&command, Door::Program(program))
        }
        Command::Completions { shell } => pages::completions::<Arguments>(shell),
        Command::Man { out } => pages::manual::<Arguments>(&out),
    }
}
