//! The commands of Slam.
//!
//! One library behind two doors: `cargo xtask` in a clone, which builds the worker for the machine, and the
//! installable program `slam`, which is its own worker. A command plans work or reads the lock of what was prepared,
//! runs the worker as child processes and shows how far it is. It knows no tensors and no audio, so that it compiles
//! in seconds.

pub mod build;
mod convert;
mod demo;
mod doctor;
mod door;
mod evaluate;
mod exit;
mod generate;
mod options;
mod out;
mod predict;
mod prepare_data;
mod prepared;
mod programs;
mod progress;
mod recipe;
mod report;
mod root;
mod run;
mod shards;
mod shipped;
mod sources;
mod steps;
mod train;
mod units;

use std::process::ExitCode;

use clap::Subcommand;
use tracing_subscriber::EnvFilter;

pub use door::Door;
pub use exit::code;

/// A command of both doors.
#[derive(Subcommand)]
pub enum Command {
    /// The whole chain on a synthetic corpus, nothing to download
    Demo(demo::Arguments),
    /// Devices, memory, disk, tools, and what would be used
    Doctor(doctor::Arguments),
    /// Make corpus and unit shards
    PrepareData(prepare_data::Arguments),
    /// Pre-train, optimise preferences, score and report within a budget
    Train(train::Arguments),
    /// Score a run's checkpoints, or one checkpoint
    Evaluate(evaluate::Arguments),
    /// Write a run's report again and print its table
    Report(report::Arguments),
    /// Continue spoken prompts
    Generate(generate::Arguments),
    /// Write checkpoints and units in the forms of other programs
    Export(convert::export::Arguments),
    /// Read checkpoints and units of other programs
    Import(convert::import::Arguments),
    /// List, check and rebuild shards
    Shards(shards::Arguments),
    /// Parts of a tokeniser: fit k-means
    Units(units::Arguments),
}

/// Carries out a command; its exit code is 0 done, 1 failed, 2 bad usage, 3 too many inputs quarantined, 130
/// interrupted after a clean save.
pub fn execute(command: &Command, door: Door) -> ExitCode {
    door.enter();
    slam_interrupt::listen();
    let result = match command {
        Command::Demo(a) => demo::run(a),
        Command::Doctor(a) => doctor::run(a),
        Command::PrepareData(a) => prepare_data::run(a),
        Command::Train(a) => train::run(a),
        Command::Evaluate(a) => evaluate::run(a),
        Command::Report(a) => report::run(a),
        Command::Generate(a) => generate::run(a),
        Command::Export(a) => convert::export::run(a),
        Command::Import(a) => convert::import::run(a),
        Command::Shards(a) => shards::run(a),
        Command::Units(a) => units::run(a),
    };
    exit::code(result)
}

/// Sends what the program logs to stderr, as `RUST_LOG` says; warnings where it says nothing.
pub fn log_to_stderr(default: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
}
