//! Which device a unit of work or a run uses.

use slam_dataset::{WorkUnit, stage};
use slam_nn::device::DeviceSpec;

/// The device's name for a receipt. Stages without tensors are the CPU's whatever was asked for.
pub(crate) fn name_for(unit: &WorkUnit, device: &str) -> anyhow::Result<String> {
    let spec: DeviceSpec = device.parse()?;
    // A model continues prompts where pairs are sampled.
    let samples = unit.params["source"]["kind"] == "sampled";
    let has_tensors = unit.stage == stage::UNITISE.name || unit.stage == stage::FIT_KMEANS.name;
    Ok(if has_tensors || samples {
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
