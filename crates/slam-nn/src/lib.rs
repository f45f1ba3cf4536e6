//! Devices, shared layers, weight files and fused kernels.
//!
//! [`ops`] is what model code calls: functions on [`burn::tensor::Tensor`], differentiable, fused on
//! the CPU device and composed of Burn's primitives elsewhere. [`mod@device`] names and opens the
//! devices they run on.

pub mod device;
pub mod ops;
pub mod params;
pub mod weights;
