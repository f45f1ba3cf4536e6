//! `doctor`: what this machine has, and what would be used.

pub(crate) mod cuda;

use std::fs;
use std::path::Path;
use std::process::Command;

use slam_recipe::Request;
use slam_recipe::device::{DeviceSpec, Devices};
use slam_recipe::event::Outcome;

use crate::build;
use crate::door::Door;
use crate::programs::Programs;
use crate::progress::Events;
use crate::steps;
use cuda::{Finding, Machine};

/// Devices, memory, disk, tools, and what would be used.
#[derive(clap::Args)]
pub struct Arguments {
    /// The data root whose disk to look at
    #[arg(long, default_value = "data")]
    data: std::path::PathBuf,
    /// Build the worker for this device and compare its losses and gradients with the CPU's
    #[arg(long, value_name = "DEVICE")]
    check: Option<DeviceSpec>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(device) = arguments.check {
        return check(device);
    }
    look(&arguments.data);
    Ok(())
}

/// Runs training steps on a device and on the CPU.
fn check(device: DeviceSpec) -> anyhow::Result<()> {
    let name = format!("check {device}");
    let device = Devices::from(device);
    let worker = Programs::worker_alone(&device)?.slam;
    let checked = steps::once(worker, &device, Events::Shown, &name, Request::CheckDevice)?;
    if let Outcome::Table(table) = checked {
        crate::out::say!("{table}");
    }
    Ok(())
}

fn look(data: &Path) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let say = |name: &str, what: &str| crate::out::say!("{name:10} {what}");
    say("cores", &cores.to_string());
    say("memory", &memory().unwrap_or_else(|| "unknown".into()));
    say("disk", &disk(data).unwrap_or_else(|| "unknown".into()));
    say("cpu", simd());
    let machine = Machine::this();
    let mut usable = false;
    if let Some(driver) = machine.driver() {
        let findings =
            [("cuda", driver), ("nvrtc", machine.nvrtc()), ("headers", machine.headers())];
        usable = findings.iter().all(|(_, f)| matches!(f, Finding::Found(_)));
        for (name, finding) in &findings {
            say(name, &finding.to_string());
        }
    } else {
        say("cuda", "no NVIDIA driver answers");
    }
    say("vulkan", &vulkan());
    match Door::current() {
        Door::Workspace(_) => {
            let features = build::features(&Devices::from(DeviceSpec::Auto));
            let with = if features.is_empty() { "no GPU".into() } else { features.join(", ") };
            say("worker", &format!("would be built with {with}"));
        }
        Door::Program(program) => say("worker", &format!("this program, {}", program.display())),
    }
    say("device", if usable { "auto = cuda:0" } else { "auto = cpu" });
    if machine.has_nvidia() && !usable {
        say("", "the GPU stays unused until what is missing above is installed");
    }
    for tool in ["espeak-ng", "ffmpeg", "python3"] {
        let found = Command::new(tool).arg("--version").output().is_ok();
        say(tool, if found { "found (optional)" } else { "absent (optional)" });
    }
}

/// The Vulkan drivers that `wgpu` could use, from the loader's lists.
fn vulkan() -> String {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let names: Vec<String> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|f| Some(f.file_name().to_str()?.split(['.', '_']).next()?.to_owned()))
        .collect();
    if names.is_empty() {
        return "no driver; `--device wgpu` needs the GPU's, or Mesa's (mesa-vulkan-drivers)"
            .into();
    }
    let mut names = names;
    names.sort();
    names.dedup();
    let unset = std::env::var_os("XDG_RUNTIME_DIR").is_none();
    let hint = if unset { "; set XDG_RUNTIME_DIR for Mesa's" } else { "" };
    format!("drivers {} (for --device wgpu{hint})", names.join(", "))
}
fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<f64> {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1_048_576.0)
    };
    Some(format!("{:.1} GiB, {:.1} GiB free", field("MemTotal:")?, field("MemAvailable:")?))
}

fn disk(data: &Path) -> Option<String> {
    let place = data.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let out = Command::new("df").args(["-Pk"]).arg(place).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let free: f64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(format!("{:.1} GiB free at {}", free / 1_048_576.0, place.display()))
}

fn simd() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "x86-64 with AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "x86-64 with AVX2";
        }
    }
    "baseline vectors"
}
