//! What CUDA needs on this machine, and what to do where a part is missing.
//!
//! The worker links no part of CUDA: it loads the driver and NVRTC at run time, and NVRTC reads the headers
//! of the toolkit. Only files are looked at here; `doctor --check cuda` asks the worker itself.

use std::env;
use std::ffi::OsString;
use std::fs;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

/// The oldest driver that has CUDA 12.8, which the worker's bindings are made for (CUDA 12.8 release notes).
const OLDEST_DRIVER: u32 = 570;

/// The folders that are searched, so that a test can name others.
pub(crate) struct Machine {
    root: PathBuf,
    cuda_path: Option<OsString>,
    library_path: Option<OsString>,
}

/// One thing that CUDA needs.
#[derive(Debug, PartialEq)]
pub(super) enum Finding {
    /// It is there: what and where.
    Found(String),
    /// It is not: what to do.
    Missing(String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Found(what) => f.write_str(what),
            Self::Missing(remedy) => write!(f, "MISSING: {remedy}"),
        }
    }
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            cuda_path: env::var_os("CUDA_PATH"),
            library_path: env::var_os("LD_LIBRARY_PATH"),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether an NVIDIA GPU is there to build CUDA for.
    pub(crate) fn has_nvidia(&self) -> bool {
        ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1"]
            .iter()
            .any(|p| self.at(p).exists())
    }

    /// The driver; `None` where there is no NVIDIA GPU.
    pub(super) fn driver(&self) -> Option<Finding> {
        if !self.has_nvidia() {
            return None;
        }
        let version = fs::read_to_string(self.at("/proc/driver/nvidia/version")).ok();
        let version = version.as_deref().and_then(driver_version);
        let major = version.and_then(|v| v.split('.').next()?.parse::<u32>().ok());
        Some(match (version, major) {
            (Some(version), Some(major)) if major < OLDEST_DRIVER => Finding::Missing(format!(
                "driver {version} is older than {OLDEST_DRIVER}, the first with CUDA 12.8; install a newer one"
            )),
            _ if !self.has_library("libcuda.so") => Finding::Missing(
                "the kernel's driver answers but libcuda.so.1 is not installed; install the driver's user \
                 part of the same version (Debian: libcuda1; in a container, the NVIDIA container runtime)"
                    .into(),
            ),
            (Some(version), _) => Finding::Found(format!("driver {version}")),
            (None, _) => Finding::Found("driver of unknown version".into()),
        })
    }

    /// NVRTC, which compiles kernels at run time.
    pub(super) fn nvrtc(&self) -> Finding {
        if self.has_library("libnvrtc.so") {
            return Finding::Found("NVRTC is there".into());
        }
        Finding::Missing(
            "libnvrtc.so is not found; install the CUDA toolkit 12.8 or newer (or its package cuda-nvrtc) \
             and put its lib64 on LD_LIBRARY_PATH"
                .into(),
        )
    }

    /// The headers that NVRTC reads, in the places where the worker looks.
    pub(super) fn headers(&self) -> Finding {
        let places = self.toolkits();
        let found = places.iter().find(|p| p.join("include/cuda_fp16.h").is_file());
        match (found, &self.cuda_path) {
            (Some(path), _) => Finding::Found(format!("headers in {}", path.join("include").display())),
            (None, Some(path)) => Finding::Missing(format!(
                "CUDA_PATH names {}, which has no include/cuda_fp16.h; set it to a CUDA toolkit's folder",
                path.display()
            )),
            (None, None) => Finding::Missing(
                "no CUDA toolkit in /usr/local/cuda, /opt/cuda or /usr; install its headers 12.8 or newer \
                 (package cuda-cudart-dev), or set CUDA_PATH"
                    .into(),
            ),
        }
    }

    fn toolkits(&self) -> Vec<PathBuf> {
        match &self.cuda_path {
            Some(path) => vec![PathBuf::from(path)],
            None => ["/usr/local/cuda", "/opt/cuda", "/usr"].map(|p| self.at(p)).into(),
        }
    }

    /// Whether the loader would find a library whose file name begins so.
    fn has_library(&self, name: &str) -> bool {
        let mut folders: Vec<PathBuf> = self
            .library_path
            .iter()
            .flat_map(|p| env::split_paths(p).collect::<Vec<_>>())
            .collect();
        folders.extend(self.configured());
        let usual =
            ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
        folders.extend(usual.map(|p| self.at(p)));
        folders.push(self.at("/usr/lib/wsl/lib"));
        folders.iter().any(|folder| {
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            files.into_iter().any(|f| f.file_name().to_string_lossy().starts_with(name))
        })
    }

    /// The folders of `/etc/ld.so.conf.d`, where the toolkit's packages put theirs.
    fn configured(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.at("/etc/ld.so.conf.d")).into_iter().flatten().flatten();
        let texts = files.filter_map(|f| fs::read_to_string(f.path()).ok());
        let lines = texts.flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|l| l.starts_with('/')).map(|l| self.at(l.trim())).collect()
    }
}

/// The version in the first line of `/proc/driver/nvidia/version`.
fn driver_version(text: &str) -> Option<&str> {
    let is_version = |w: &&str| {
        w.contains('.') && w.chars().all(|c| c.is_ascii_digit() || c == '.') && !w.starts_with('.')
    };
    text.lines().next()?.split_whitespace().find(is_version)
}

/// A list of paths below a folder, for tests.
#[cfg(test)]
fn machine(root: &Path, files: &[(&str, &str)]) -> Machine {
    for (path, text) in files {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(root);
        assert!(fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).is_ok());
    }
    Machine { root: root.to_owned(), cuda_path: None, library_path: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VERSION: &str =
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n";

    #[test]
    fn a_machine_without_an_nvidia_gpu_needs_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(machine(root.path(), &[]).driver(), None);
    }

    #[test]
    fn a_complete_machine_is_found_complete() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine(
            root.path(),
            &[
                ("proc/driver/nvidia/version", VERSION),
                ("usr/lib/x86_64-linux-gnu/libcuda.so.1", ""),
                ("etc/ld.so.conf.d/cuda.conf", "# the toolkit\n/usr/local/cuda/lib64\n"),
                ("usr/local/cuda/lib64/libnvrtc.so.12", ""),
                ("usr/local/cuda/include/cuda_fp16.h", ""),
            ],
        );
        assert_eq!(machine.driver(), Some(Finding::Found("driver 570.86.15".into())));
        assert_eq!(machine.nvrtc(), Finding::Found("NVRTC is there".into()));
        assert!(matches!(machine.headers(), Finding::Found(p) if p.ends_with("cuda/include")));
    }

    #[test]
    fn each_missing_part_names_its_remedy() {
        let missing = |finding: Finding, word: &str| match finding {
            Finding::Missing(text) => assert!(text.contains(word), "{text}"),
            Finding::Found(text) => panic!("found {text}"),
        };
        let root = tempfile::tempdir().unwrap();
        let old = VERSION.replace("570", "535");
        let mut machine = machine(root.path(), &[("proc/driver/nvidia/version", &old)]);
        missing(machine.driver().unwrap(), "newer");
        fs::write(root.path().join("proc/driver/nvidia/version"), VERSION).unwrap();
        missing(machine.driver().unwrap(), "libcuda.so.1");
        missing(machine.nvrtc(), "LD_LIBRARY_PATH");
        missing(machine.headers(), "set CUDA_PATH");
        machine.cuda_path = Some("/nowhere".into());
        missing(machine.headers(), "/nowhere");
    }

    #[test]
    fn the_closed_drivers_version_is_read_too() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08  Sat Feb 17 2024\nGCC version: 12.2.0";
        assert_eq!(driver_version(text), Some("535.161.08"));
        assert_eq!(driver_version("no version"), None);
    }
}
