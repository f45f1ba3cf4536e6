//! The commands of the project: `cargo xtask <command>`.
//!
//! This program plans work, builds the worker for this machine, runs it as child processes and shows how
//! far it is. It knows no tensors and no audio, so that it compiles in seconds.

mod bench;
mod convert;
mod demo;
mod doctor;
mod evaluate;
mod exit;
mod generate;
mod interrupt;
mod predict;
mod prepare_data;
mod progress;
mod recipe;
mod report;
mod root;
mod run;
mod shards;
mod sources;
mod steps;
mod test;
mod train;
mod units;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Train a speech language model on one GPU in a day.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    Export(convert::Export),
    /// Read checkpoints and units of other programs
    Import(convert::Import),
    /// List, check and rebuild shards
    Shards(shards::Arguments),
    /// Parts of a tokeniser: fit k-means
    Units(units::Arguments),
    /// Speed of a part of the project beside its peer in Python
    Bench(bench::Arguments),
    /// All tests of the project: the README's test command
    Test(test::Arguments),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
    let arguments = Arguments::parse();
    interrupt::listen();
    let result = match arguments.command {
        Command::Demo(a) => demo::run(&a),
        Command::Doctor(a) => doctor::run(&a),
        Command::PrepareData(a) => prepare_data::run(&a),
        Command::Train(a) => train::run(&a),
        Command::Evaluate(a) => evaluate::run(&a),
        Command::Report(a) => report::run(&a),
        Command::Generate(a) => generate::run(&a),
        Command::Export(a) => convert::export(&a),
        Command::Import(a) => convert::import(&a),
        Command::Shards(a) => shards::run(&a),
        Command::Units(a) => units::run(&a),
        Command::Bench(a) => bench::run(&a),
        Command::Test(a) => test::run(&a),
    };
    exit::code(result)
}
