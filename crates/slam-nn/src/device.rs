//! Devices, opened without a crash.

pub use burn::tensor::Device;
pub use slam_recipe::device::DeviceSpec;
use std::path::PathBuf;

/// Why a device could not be opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeviceError {
    /// The program was built without the device's kernels.
    #[error(
        "this build has no `{device}`: build the program again with `--features {feature}`, or use another device"
    )]
    NotBuilt {
        /// The device asked for.
        device: DeviceSpec,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// The NVIDIA driver is absent, too old, or refuses to start.
    #[error(
        "CUDA is not usable here: {0}; install an NVIDIA driver of CUDA 12.8 or newer, or use `--device cpu`"
    )]
    Driver(DriverFault),
    /// The driver answers, but kernels can't be compiled.
    #[error("CUDA kernels can't be compiled here: {0}")]
    Compiler(CompilerFault),
    /// wgpu finds nothing that it could use.
    #[error(
        "wgpu finds no adapter: install the GPU's Vulkan driver (or Mesa's software one, Debian's \
         mesa-vulkan-drivers, and set XDG_RUNTIME_DIR), or use `--device cpu`"
    )]
    NoAdapter,
    /// The machine has fewer GPUs than the index asks for.
    #[error("there is no `{device}`: this machine has {count} such device(s), counted from 0")]
    Index {
        /// The device asked for.
        device: DeviceSpec,
        /// How many devices the driver reports.
        count: usize,
    },
}

/// What is wrong with the NVIDIA driver.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DriverFault {
    /// It is not there.
    #[error("the NVIDIA driver's library is not installed")]
    Absent,
    /// It is older than the kernels need.
    #[error("the driver supports CUDA {major}.{minor} only")]
    Old {
        /// The version that it supports.
        major: i32,
        /// Its second part.
        minor: i32,
    },
    /// It does not say its version.
    #[error("its version can't be read ({answer})")]
    Version {
        /// What it answered.
        answer: String,
    },
    /// It does not start.
    #[error("the driver doesn't start ({answer})")]
    Start {
        /// What it answered.
        answer: String,
    },
    /// It does not say what devices there are.
    #[error("the driver lists no devices ({answer})")]
    List {
        /// What it answered.
        answer: String,
    },
}

/// What CUDA kernels can't be compiled without.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompilerFault {
    /// The compiler's library.
    #[error(
        "the library NVRTC (libnvrtc.so) is not installed; install the CUDA toolkit 12.8 or newer \
         (cuda-nvrtc), and put its lib64 on LD_LIBRARY_PATH"
    )]
    Library,
    /// The toolkit's headers.
    #[error(
        "no include/cuda_fp16.h below {}; install the CUDA toolkit's headers (cuda-cudart-dev) or set \
         CUDA_PATH to the toolkit's folder",
        places(.looked_in)
    )]
    Headers {
        /// Folders that a toolkit could be in.
        looked_in: Vec<PathBuf>,
    },
}

fn places(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|p| p.display().to_string()).collect();
    folders.join(", ")
}

/// Opens a device, without autodiff.
///
/// `auto` takes the CPU where this build has no CUDA or no NVIDIA driver answers. Where one answers
/// and CUDA still can't be used, that is an error: a day on the CPU by mistake is no remedy.
///
/// # Errors
/// When this build lacks the device, the driver doesn't answer, kernels can't be compiled, or the
/// index is out of range.
pub fn open(device: DeviceSpec) -> Result<Device, DeviceError> {
    match device {
        DeviceSpec::Auto => match open_cuda(0) {
            Err(
                DeviceError::NotBuilt { .. }
                | DeviceError::Driver(_)
                | DeviceError::Index { count: 0, .. },
            ) => Ok(Device::flex()),
            opened => opened,
        },
        DeviceSpec::Cpu => Ok(Device::flex()),
        DeviceSpec::Cuda(index) => open_cuda(index),
        DeviceSpec::Wgpu(index) => open_wgpu(index),
    }
}

/// Number of CUDA devices that the driver reports.
///
/// # Errors
/// When this build lacks CUDA, or the driver is absent, too old, or refuses to start.
#[cfg(feature = "cuda")]
pub fn cuda_device_count() -> Result<usize, DeviceError> {
    use cudarc::driver::{result, sys};
    /// The driver of CUDA 12.8, whose symbols the bindings were generated from.
    const OLDEST: i32 = 12_080;
    // SAFETY: only tries to load the driver's library by its usual names.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::Driver(DriverFault::Absent));
    }
    let refused = |fault: fn(String) -> DriverFault| {
        move |e: result::DriverError| DeviceError::Driver(fault(e.to_string()))
    };
    let mut version = 0;
    // SAFETY: the library is present, and the pointer is to a live integer.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(refused(|answer| DriverFault::Version { answer }))?;
    if version < OLDEST {
        let (major, minor) = (version / 1000, version % 1000 / 10);
        return Err(DeviceError::Driver(DriverFault::Old { major, minor }));
    }
    result::init().map_err(refused(|answer| DriverFault::Start { answer }))?;
    let count =
        result::device::get_count().map_err(refused(|answer| DriverFault::List { answer }))?;
    Ok(count as usize)
}

/// Number of CUDA devices that the driver reports.
///
/// # Errors
/// Always: this build lacks CUDA.
#[cfg(not(feature = "cuda"))]
pub fn cuda_device_count() -> Result<usize, DeviceError> {
    Err(DeviceError::NotBuilt { device: DeviceSpec::Cuda(0), feature: "cuda" })
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device, DeviceError> {
    let count = cuda_device_count()?;
    if index >= count {
        return Err(DeviceError::Index { device: DeviceSpec::Cuda(index), count });
    }
    cuda_compiler()?;
    Ok(Device::cuda(index))
}

/// Checks what kernels are compiled with at run time; without it Burn panics at the first kernel.
///
/// # Errors
/// When NVRTC or the CUDA headers are missing, with the remedy.
#[cfg(feature = "cuda")]
pub fn cuda_compiler() -> Result<PathBuf, DeviceError> {
    // SAFETY: only tries to load the library by its usual names.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(DeviceError::Compiler(CompilerFault::Library));
    }
    // The places that `cubecl-cuda` looks in; another one would not help.
    let usual = ["/usr/local/cuda", "/opt/cuda", "/usr"].map(PathBuf::from);
    let places = match std::env::var_os("CUDA_PATH") {
        Some(path) => vec![PathBuf::from(path)],
        None => usual.to_vec(),
    };
    let include =
        places.iter().map(|p| p.join("include")).find(|p| p.join("cuda_fp16.h").is_file());
    include.ok_or(DeviceError::Compiler(CompilerFault::Headers { looked_in: places }))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(index: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: DeviceSpec::Cuda(index), feature: "cuda" })
}

#[cfg(feature = "wgpu")]
fn open_wgpu(index: usize) -> Result<Device, DeviceError> {
    use burn::tensor::{DeviceKind, DeviceType};
    // Opening an adapter that isn't there panics in Burn; listing them does not.
    let adapters = Device::enumerate(DeviceType::Wgpu).into_vec();
    match (index, adapters.len()) {
        (_, 0) => Err(DeviceError::NoAdapter),
        (0, _) => Ok(Device::wgpu(DeviceKind::DefaultDevice)),
        (_, count) => adapters
            .into_iter()
            .nth(index)
            .ok_or(DeviceError::Index { device: DeviceSpec::Wgpu(index), count }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu(index: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: DeviceSpec::Wgpu(index), feature: "wgpu" })
}

/// Whether the tensors of this device lie in the CPU device's memory (with or without autodiff).
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// The device in a few words, for logs and receipts: `cpu (2 threads)`, a GPU's own name, or Burn's.
pub fn describe(device: &Device) -> String {
    if is_cpu(device) {
        return format!("cpu ({} threads)", rayon::current_num_threads());
    }
    let plain = device.clone().inner();
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if let Some(identity) = plain.identity() {
        return identity.name;
    }
    format!("{plain:?}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn auto_and_cpu_open_everywhere() {
        open(DeviceSpec::Auto).unwrap();
        let device = open(DeviceSpec::Cpu).unwrap();
        assert!(is_cpu(&device) && is_cpu(&device.clone().autodiff()));
        assert!(describe(&device).starts_with("cpu ("));
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_what_to_rebuild() {
        let error = open(DeviceSpec::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
