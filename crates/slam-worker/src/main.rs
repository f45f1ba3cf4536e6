//! The worker `slam`: one process that carries out units of work, a training run or an evaluation.
//!
//! It is started by an executor or by `cargo xtask`, says what it does as JSON lines on standard output
//! (`slam_dataset::Event`) and talks to people on standard error.

mod card;
mod check;
mod check_device;
mod convert;
mod device;
mod exit;
mod fetch;
mod generate;
#[cfg(test)]
mod pipelines;
mod runs;
mod sampler;
mod scores;
mod show;
mod signals;
#[cfg(test)]
mod spoken_swag;
mod stages;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// glibc gives every large block back to the kernel, so that each output tensor would be paged in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One process of a slam pipeline.
#[derive(Parser)]
#[command(name = "slam", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry out units of a work list
    Worker {
        /// The work list
        #[arg(long)]
        plan: PathBuf,
        /// Which of its units, e.g. 3,17-20
        #[arg(long)]
        index: String,
        /// The data root
        #[arg(long, default_value = "data")]
        data: PathBuf,
        /// The object store that the data root mirrors
        #[arg(long)]
        store: Option<String>,
        /// auto, cpu, cuda[:n] or wgpu[:n]
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Move shards between a folder and the object store that it mirrors
    Store {
        /// What to do, as a JSON file
        #[arg(long)]
        request: PathBuf,
    },
    /// Print a shard's shape and some of its rows, one JSON object a line
    Show {
        /// The Parquet file
        #[arg(long)]
        shard: PathBuf,
        /// The first row
        #[arg(long, default_value_t = 0)]
        from: usize,
        /// How many
        #[arg(long, default_value_t = 10)]
        rows: usize,
    },
    /// Read the requests of a run's steps without carrying them out
    Check {
        /// A command and its request, e.g. dpo=runs/demo/requests/dpo.json
        #[arg(required = true)]
        steps: Vec<check::Step>,
    },
    /// Compare a device's losses and gradients with the CPU's
    CheckDevice {
        /// auto, cpu, cuda[:n] or wgpu[:n]
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Pre-train a model
    Pretrain(Request),
    /// Take the first steps of pre-training, say what the whole would come to, and keep nothing
    PlanPretrain(Request),
    /// Optimise a model's preferences
    Dpo(Request),
    /// Score a checkpoint
    Evaluate(Request),
    /// Make tables of scores that are there, without a model
    Scores(Request),
    /// Write a run's report
    Report(Request),
    /// Write a page that compares runs
    Compare(Request),
    /// Continue spoken prompts
    Generate(Request),
    /// Write checkpoints and unit shards in other programs' forms, or read them
    Convert(Request),
    /// Download public data
    Fetch(Request),
}

#[derive(clap::Args)]
struct Request {
    /// What to do, as a JSON file
    #[arg(long)]
    request: PathBuf,
    /// auto, cpu, cuda[:n] or wgpu[:n]; training also takes a list, e.g. cuda:0,cuda:1
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new("warn,symphonia=off")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .init();
    let arguments = Arguments::parse();
    signals::listen();
    let result = match arguments.command {
        Command::Worker { plan, index, data, store, device } => {
            stages::run(&plan, &index, &data, &device, store.as_deref())
        }
        Command::Store { request } => store::run(&request),
        Command::Show { shard, from, rows } => show::run(&shard, from, rows),
        Command::Check { steps } => check::run(&steps),
        Command::CheckDevice { device } => check_device::run(&device),
        Command::Pretrain(r) => runs::pretrain(&r.request, &r.device),
        Command::PlanPretrain(r) => runs::plan_pretrain(&r.request, &r.device),
        Command::Dpo(r) => runs::dpo(&r.request, &r.device),
        Command::Evaluate(r) => runs::evaluate(&r.request, &r.device),
        Command::Scores(r) => scores::run(&r.request),
        Command::Report(r) => runs::report(&r.request),
        Command::Compare(r) => runs::compare(&r.request),
        Command::Generate(r) => generate::run(&r.request, &r.device),
        Command::Convert(r) => convert::run(&r.request),
        Command::Fetch(r) => fetch::run(&r.request),
    };
    exit::code(result)
}
