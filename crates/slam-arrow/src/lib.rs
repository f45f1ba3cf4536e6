//! The parts of Arrow that the project uses, under the names of the crate `arrow`.
//!
//! That crate always brings its arithmetic, string, row and comparison kernels, which take minutes to compile and
//! which nothing here calls.

pub use arrow_buffer as buffer;
pub use arrow_ipc as ipc;

/// Arrays and their builders.
pub mod array {
    pub use arrow_array::builder::*;
    pub use arrow_array::cast::*;
    pub use arrow_array::*;
}

/// Conversion between types.
pub mod compute {
    pub use arrow_cast::cast;
}

/// Types of columns.
pub mod datatypes {
    pub use arrow_array::types::*;
    pub use arrow_schema::*;
}

/// What can go wrong.
pub mod error {
    pub use arrow_schema::ArrowError;
}
