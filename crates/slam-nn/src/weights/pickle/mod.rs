//! A reader of Python pickles (protocols 0–5) that executes nothing.
//!
//! Globals stay names, calls stay records of what would be called. Nodes live in one arena, so that
//! neither depth nor cycles of the input can exhaust the stack; bytes stay ranges of the input, so
//! that memory is bounded by its length. Opcodes: CPython `Lib/pickletools.py`.

mod error;
mod machine;
mod value;

pub use error::PickleError;
pub use machine::{Hook, Plain};
pub use value::{Id, Node, Pickle};
