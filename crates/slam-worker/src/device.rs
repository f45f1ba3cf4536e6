//! Which device a unit of work or a run uses.

use slam_nn::device::DeviceSpec;
use slam_recipe::source::Source;
use slam_recipe::{Work, WorkUnit};

/// The device's name for a receipt. Stages without tensors are the CPU's whatever was asked for.
pub(crate) fn name_for(unit: &WorkUnit, device: &str) -> anyhow::Result<String> {
    let spec: DeviceSpec = device.parse()?;
    // A model continues prompts where pairs are sampled.
    let has_tensors = match &unit.work {
        Work::FitKmeans(_) | Work::Unitise(_) => true,
        Work::Pair(params) => matches!(params.source, Some(Source::Sampled(_))),
        Work::Ingest(_) | Work::ImportUnits(_) | Work::Benchmark(_) => false,
    };
    Ok(if has_tensors {
        match spec {
            // The receipt names what it was made on, not what was asked for.
            DeviceSpec::Auto if DeviceSpec::Cuda(0).open().is_ok() => DeviceSpec::Cuda(0),
            DeviceSpec::Auto => DeviceSpec::Cpu,
            named => named,
        }
        .to_string()
    } else {
        DeviceSpec::Cpu.to_string()
    })
}
