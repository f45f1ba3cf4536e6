use crate::config::ConfigError;
use crate::input_error::InputError;
use slam_nn::weights::WeightsError;
use std::path::PathBuf;

/// Why a language model could not be made, read, written or run.
#[derive(Debug, thiserror::Error)]
pub enum LmError {
    /// A file of the checkpoint can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// A configuration lacks or contradicts something, or asks for something this crate lacks.
    #[error("config.json: {0}")]
    Config(#[from] ConfigError),
    /// The same, of a file.
    #[error("{path}: {source}", path = path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// The weights can't be read or don't fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The checkpoint's tensors are not those of the model.
    #[error(
        "{path}: the tensors do not fit the model; missing: [{missing}]; unexpected: [{unexpected}]; \
         of another shape: [{misshapen}]; check that config.json belongs to these weights, or allow \
         them by name",
        path = path.display(), missing = list(missing), unexpected = list(unexpected),
        misshapen = list(misshapen)
    )]
    Tensors {
        /// The checkpoint.
        path: PathBuf,
        /// Names that the model needs and the checkpoint lacks.
        missing: Vec<String>,
        /// Names that the checkpoint has and the model does not know.
        unexpected: Vec<String>,
        /// Names whose tensor has another shape, with both shapes.
        misshapen: Vec<String>,
    },
    /// A sequence does not fit the model.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Names with commas; the number alone of those beyond what a person reads.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
