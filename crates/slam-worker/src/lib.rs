//! The worker: one process that carries out units of work, a training run or an evaluation.
//!
//! A command or an executor starts it with a file of typed requests ([`slam_recipe::Request`]) or a list of units of
//! work ([`slam_recipe::work::WorkList`]). It says what it does as JSON lines on standard output
//! ([`slam_recipe::Event`]) and talks to people on standard error.

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
#[cfg(test)]
mod spoken_swag;
mod stages;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use slam_recipe::device::Devices;
use slam_recipe::{Event, Request, wire};

/// What to carry out.
#[derive(clap::Args)]
pub struct Arguments {
    /// A request, as a JSON file
    #[arg(long, value_name = "FILE", required_unless_present = "plan", conflicts_with = "plan")]
    request: Option<PathBuf>,
    /// A work list, as a JSON file
    #[arg(long, value_name = "FILE", requires = "index")]
    plan: Option<PathBuf>,
    /// Which units of the work list, e.g. 3,17-20
    #[arg(long, value_name = "LIST", requires = "plan")]
    index: Option<String>,
    /// Of a work list: the data root
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Of a work list: the object store that the data root mirrors
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// `auto`, `cpu`, `cuda[:n]` or `wgpu[:n]`; training also takes a list, e.g. cuda:0,cuda:1
    #[arg(long, default_value = "auto")]
    device: Devices,
}

/// Carries out what the arguments ask for; its exit code is 0 done, 1 failed, 130 interrupted after a clean save.
pub fn run(arguments: &Arguments) -> ExitCode {
    slam_interrupt::listen();
    Event::Hello { wire: wire::VERSION }.print();
    exit::code(carry_out(arguments))
}

fn carry_out(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { request, plan, index, data, store, device } = arguments;
    if let (Some(plan), Some(index)) = (plan, index) {
        return stages::run(plan, index, data, device.first(), store.as_deref());
    }
    let Some(request) = request else {
        anyhow::bail!("neither a request nor a work list is named")
    };
    let outcome = match Request::read(request)? {
        Request::Pretrain(r) => runs::pretrain(&r, device)?,
        Request::PlanPretrain(r) => runs::plan_pretrain(&r, device)?,
        Request::Dpo(r) => runs::dpo(&r, device)?,
        Request::Evaluate(r) => runs::evaluate(&r, device.first())?,
        Request::Scores(r) => scores::run(r)?,
        Request::Report(r) => runs::report(&r)?,
        Request::Compare(r) => runs::compare(&r)?,
        Request::Generate(r) => generate::run(&r, device.first())?,
        Request::Convert(r) => convert::run(r)?,
        Request::Fetch(r) => fetch::run(&r)?,
        Request::Store(r) => store::run(&r)?,
        Request::Show(r) => show::run(&r)?,
        Request::Check(r) => check::run(&r)?,
        Request::CheckDevice => check_device::run(device.first())?,
    };
    Event::Finished(outcome).print();
    Ok(())
}
