//! `slam check-device`: losses and gradients of a device beside the CPU's.

use anyhow::bail;
use slam_nn::device::{self, DeviceSpec};
use slam_train::device_check::{
    GRADIENT_TOLERANCE, LOSS_TOLERANCE, TENSOR_CORE_TOLERANCE, check_device,
};

/// Compares a device with the CPU and prints the differences; fails where they are too large.
pub(crate) fn run(name: &str) -> anyhow::Result<()> {
    let spec: DeviceSpec = name.parse()?;
    let device = spec.open()?;
    println!("device     {spec}: {}", device::describe(&device));
    let report = check_device(&device)?;
    println!("model      step  cpu loss    device loss  difference (up to {LOSS_TOLERANCE:.0e})");
    for pair in &report.losses {
        println!(
            "{:10} {:4}  {:<10.6}  {:<11.6}  {:.1e}",
            pair.family,
            pair.step,
            pair.cpu,
            pair.device,
            pair.difference()
        );
    }
    let tolerance = if matches!(spec, DeviceSpec::Cuda(_)) {
        TENSOR_CORE_TOLERANCE
    } else {
        GRADIENT_TOLERANCE
    };
    if let Some(worst) = report.worst_gradient() {
        println!(
            "gradients  {} parameters; the largest difference is {:.1e} of its norm (up to {tolerance:.0e}), \
             {} of {}",
            report.gradients.len(),
            worst.difference,
            worst.name,
            worst.family
        );
    }
    if !report.agrees(tolerance) {
        bail!(
            "{spec} does not compute what the CPU computes; do not train on it: update its driver, or use \
             another device"
        );
    }
    println!("{spec} agrees with the CPU");
    Ok(())
}
