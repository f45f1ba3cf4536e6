//! Devices as `--device` names them.

use std::fmt;
use std::str::FromStr;

/// A device: `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `wgpu:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// CUDA where the worker has it and a driver answers, else the CPU.
    #[default]
    Auto,
    /// The CPU, all cores of the rayon pool.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
    /// An adapter through wgpu (Vulkan, Metal, DX12): 0 is the one that the system prefers, others are
    /// counted in the order in which the system lists them.
    Wgpu(usize),
}

/// A device name that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`: use auto, cpu, cuda, cuda:N, wgpu or wgpu:N")]
pub struct UnknownDevice(String);

impl FromStr for DeviceSpec {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(name.to_owned());
        let (kind, index) = match name.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown())?)),
            None => (name, None),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("wgpu", index) => Ok(Self::Wgpu(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

/// A device, or several with commas: `cuda:0,cuda:1`. Training splits its batches over all of them; everything
/// else uses the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    first: DeviceSpec,
    others: Vec<DeviceSpec>,
}

impl Devices {
    /// The device that holds the weights.
    pub fn first(&self) -> DeviceSpec {
        self.first
    }

    /// All of them, the first one first.
    pub fn all(&self) -> impl Iterator<Item = DeviceSpec> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

impl From<DeviceSpec> for Devices {
    fn from(first: DeviceSpec) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl FromStr for Devices {
    type Err = UnknownDevice;

    fn from_str(names: &str) -> Result<Self, UnknownDevice> {
        let mut names = names.split(',').map(str::trim);
        let first = names.next().unwrap_or_default().parse()?;
        Ok(Self { first, others: names.map(str::parse).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|device| write!(f, ",{device}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "wgpu:0", "wgpu:2"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceSpec::Cuda(0)));
        assert_eq!("wgpu".parse(), Ok(DeviceSpec::Wgpu(0)));
        let several: Devices = "cuda, cuda:1".parse().unwrap();
        assert_eq!(several.to_string(), "cuda:0,cuda:1");
        assert_eq!(several.all().collect::<Vec<_>>(), [DeviceSpec::Cuda(0), DeviceSpec::Cuda(1)]);
    }

    #[test]
    fn other_names_are_refused_with_the_list() {
        for name in ["", "gpu", "cpu:1", "auto:0", "cuda:", "cuda:x", "cuda:-1", "CUDA", "cpu,"] {
            let error = name.parse::<Devices>().unwrap_err();
            assert!(error.to_string().contains("cuda:N"), "{error}");
        }
    }
}
