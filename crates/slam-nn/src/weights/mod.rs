//! Weight files: safetensors (single or sharded with an index) and torch's `.bin`, memory-mapped and
//! read tensor by tensor; and a writer of safetensors.

mod checkpoint;
mod entry;
mod error;
pub mod pickle;
mod safetensors_file;
mod torch_bin;
mod torch_legacy;
mod torch_tensors;

pub use checkpoint::Weights;
pub use entry::Element;
pub use error::{FileFault, TensorFault, WeightsError};
pub use safetensors_file::write_safetensors;

#[cfg(test)]
mod tests;
