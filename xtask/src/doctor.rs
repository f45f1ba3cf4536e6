//! `cargo xtask doctor`: what this machine has, and what would be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Devices, memory, disk, tools, and what would be used.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The data root whose disk to look at
    #[arg(long, default_value = "data")]
    data: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("cores      {cores}");
    println!("memory     {}", memory().unwrap_or_else(|| "unknown".into()));
    println!("disk       {}", disk(&arguments.data).unwrap_or_else(|| "unknown".into()));
    println!("cpu        {}", simd());
    match nvidia() {
        Some(driver) => {
            println!("cuda       driver {driver}");
            match cuda_headers() {
                Some(path) => println!("nvrtc      headers in {}", path.display()),
                None => println!(
                    "nvrtc      CUDA headers not found: install the CUDA toolkit 12.8 or newer, or set CUDA_PATH"
                ),
            }
            println!("device     auto = cuda:0");
        }
        None => println!("cuda       no NVIDIA driver answers\ndevice     auto = cpu"),
    }
    for tool in ["espeak-ng", "ffmpeg", "python3"] {
        let found = Command::new(tool).arg("--version").output().is_ok();
        println!("{tool:10} {}", if found { "found (optional)" } else { "absent (optional)" });
    }
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

fn nvidia() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    Some(text.split_whitespace().find(|w| w.contains('.'))?.to_owned())
}

fn cuda_headers() -> Option<PathBuf> {
    let places = std::env::var_os("CUDA_PATH").map(PathBuf::from).into_iter();
    let usual = ["/usr/local/cuda", "/usr/lib/cuda", "/opt/cuda"].map(PathBuf::from);
    places.chain(usual).map(|p| p.join("include")).find(|p| p.join("cuda_fp16.h").is_file())
}
