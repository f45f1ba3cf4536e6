//! The model that continues prompts, as the stage knows it.

use std::error::Error;
use std::path::{Path, PathBuf};

use slam_dataset::schema::TokeniserInfo;
use slam_recipe::source::Sampling;

/// A model that continues prompts.
pub trait Sampler {
    /// Returns `count` continuations of a prompt. The random streams depend on `seed` alone.
    ///
    /// # Errors
    /// Fails if the prompt does not fit the model.
    fn sample(
        &mut self,
        prompt: &[u16],
        count: usize,
        seed: u64,
    ) -> Result<Vec<Vec<u16>>, SamplerError>;
}

/// Opens the model in a checkpoint's folder for [`slam_recipe::source::Source::Sampled`]. The stage does not know
/// models: the worker hands it one.
pub type OpenSampler<'a> =
    dyn Fn(&Path, &TokeniserInfo, &Sampling) -> Result<Box<dyn Sampler>, SamplerError> + 'a;

/// The reasons why a model does not continue prompts.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The model cannot be loaded.
    #[error("{checkpoint}: {source}")]
    Model {
        /// The checkpoint's folder.
        checkpoint: PathBuf,
        /// Why it cannot be loaded.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The model and the prompts come from different tokenisers.
    #[error(
        "{checkpoint}: the model was trained on units of {model}, the prompts are units of {prompts}"
    )]
    Tokeniser {
        /// The checkpoint's folder.
        checkpoint: PathBuf,
        /// The tokeniser of the model.
        model: String,
        /// The tokeniser of the prompts.
        prompts: String,
    },
    /// The model cannot continue this prompt.
    #[error(transparent)]
    Prompt(Box<dyn Error + Send + Sync>),
}
