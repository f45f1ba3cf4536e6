//! Which device a unit of work or a run uses.

use slam_nn::device::{DeviceSpec, open};
use slam_recipe::source::Source;
use slam_recipe::{Work, WorkUnit};

/// The device that makes a unit. Stages without tensors are the CPU's whatever was asked for.
pub(crate) fn of(unit: &WorkUnit, asked: DeviceSpec) -> DeviceSpec {
    // A model continues prompts where pairs are sampled.
    let has_tensors = match &unit.work {
        Work::FitKmeans(_) | Work::Unitise(_) => true,
        Work::Pair(params) => matches!(params.source, Some(Source::Sampled(_))),
        Work::Ingest(_) | Work::ImportUnits(_) | Work::Benchmark(_) => false,
    };
    match asked {
        _ if !has_tensors => DeviceSpec::Cpu,
        // The receipt names what the shard was made on, not what was asked for.
        DeviceSpec::Auto if open(DeviceSpec::Cuda(0)).is_ok() => DeviceSpec::Cuda(0),
        DeviceSpec::Auto => DeviceSpec::Cpu,
        named => named,
    }
}
