//! `export` and `import`: checkpoints and units in the forms of other programs.

pub(crate) mod export;
pub(crate) mod import;
mod request;
