//! Losses and gradients of a device beside the CPU's.

use anyhow::bail;
use slam_nn::device::{self, DeviceSpec};
use slam_recipe::event::Outcome;
use slam_train::device_check::{
    GRADIENT_TOLERANCE, LOSS_TOLERANCE, TENSOR_CORE_TOLERANCE, check_device,
};

/// Compares a device with the CPU; fails where they differ too much, after the differences on stderr.
pub(crate) fn run(spec: DeviceSpec) -> anyhow::Result<Outcome> {
    let mut lines = Vec::new();
    let device = device::open(spec)?;
    lines.push(format!("device     {spec}: {}", device::describe(&device)));
    let report = check_device(&device)?;
    lines.push(format!(
        "model      step  cpu loss    device loss  difference (up to {LOSS_TOLERANCE:.0e})"
    ));
    for pair in &report.losses {
        lines.push(format!(
            "{:10} {:4}  {:<10.6}  {:<11.6}  {:.1e}",
            pair.family,
            pair.step,
            pair.cpu,
            pair.device,
            pair.difference()
        ));
    }
    let tolerance = if matches!(spec, DeviceSpec::Cuda(_)) {
        TENSOR_CORE_TOLERANCE
    } else {
        GRADIENT_TOLERANCE
    };
    if let Some(worst) = report.worst_gradient() {
        lines.push(format!(
            "gradients  {} parameters; the largest difference is {:.1e} of its norm (up to {tolerance:.0e}), \
             {} of {}",
            report.gradients.len(),
            worst.difference,
            worst.name,
            worst.family
        ));
    }
    if !report.agrees(tolerance) {
        eprintln!("{}", lines.join("\n"));
        bail!(
            "{spec} does not compute what the CPU computes; do not train on it: update its driver, or use \
             another device"
        );
    }
    lines.push(format!("{spec} agrees with the CPU"));
    Ok(Outcome::Table(lines.join(
        "
",
    )))
}
