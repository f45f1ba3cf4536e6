//! `cargo xtask <command>`: the commands of the project in a clone, and those that only a clone has.

mod bench;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slam_commands::{Door, build};

/// Train a speech language model on one GPU in a day.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process parses one")]
enum Command {
    #[command(flatten)]
    Shared(slam_commands::Command),
    /// Speed of a part of the project beside its peer in Python
    Bench(bench::Arguments),
    /// All tests of the project: the README's test command
    Test(test::Arguments),
}

fn main() -> ExitCode {
    slam_commands::log_to_stderr("warn");
    match Arguments::parse().command {
        Command::Shared(command) => {
            slam_commands::execute(&command, Door::Workspace(build::workspace()))
        }
        Command::Bench(arguments) => slam_commands::code(bench::run(&arguments)),
        Command::Test(arguments) => slam_commands::code(test::run(&arguments)),
    }
}
