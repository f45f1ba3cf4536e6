//! A unit model that continues the prompts of the pair stage, which does not know models.

use std::path::Path;

use std::ops::ControlFlow;

use slam_dataset::schema::TokeniserInfo;
use slam_lm::generate::{GenerateOptions, generate};
use slam_lm::tokenizer::{token_units, unit_tokens};
use slam_lm::{BOS, Decoder};
use slam_nn::device::{self, DeviceSpec};
use slam_preference::{Sampler, SamplerError};
use slam_recipe::source::Sampling;

struct Model {
    decoder: Decoder,
    options: GenerateOptions,
}

/// Loads a checkpoint. `info` is the tokeniser that the prompts' units are of.
pub(crate) fn open(
    checkpoint: &Path,
    info: &TokeniserInfo,
    sampling: &Sampling,
    device: DeviceSpec,
) -> Result<Box<dyn Sampler>, SamplerError> {
    let no_model = |source| SamplerError::Model { checkpoint: checkpoint.to_owned(), source };
    let device = device::open(device).map_err(|e| no_model(e.into()))?;
    let trained_on = slam_train::tokeniser_of_model(checkpoint).map_err(|e| no_model(e.into()))?;
    if let Some(model) = trained_on.filter(|model| model.identity != info.identity) {
        let name = |t: &TokeniserInfo| format!("{} ({})", t.name, t.identity.short());
        return Err(SamplerError::Tokeniser {
            checkpoint: checkpoint.to_owned(),
            model: name(&model),
            prompts: name(info),
        });
    }
    let decoder = Decoder::load(checkpoint, &device).map_err(|e| no_model(e.into()))?;
    let &Sampling { max_units, temperature, top_k, top_p, repetition_penalty } = sampling;
    let options = GenerateOptions {
        max_new_tokens: max_units,
        temperature,
        top_k,
        top_p,
        repetition_penalty,
        stop: Some(BOS),
        seed: 0,
    };
    Ok(Box::new(Model { decoder, options }))
}

impl Sampler for Model {
    /// All continuations of a prompt are drawn at once; each draws from a stream of its own.
    fn sample(
        &mut self,
        prompt: &[u16],
        count: usize,
        seed: u64,
    ) -> Result<Vec<Vec<u16>>, SamplerError> {
        let mut tokens = vec![BOS];
        tokens.extend(unit_tokens(prompt));
        self.decoder.check_tokens(&tokens).map_err(|e| SamplerError::Prompt(e.into()))?;
        let options = GenerateOptions { seed, ..self.options.clone() };
        let new = generate(&self.decoder, &vec![&tokens[..]; count], &options, &mut |_, _| {
            ControlFlow::Continue(())
        })
        .map_err(|e| SamplerError::Prompt(e.into()))?;
        Ok(new.iter().map(|tokens| token_units(tokens)).collect())
    }
}
