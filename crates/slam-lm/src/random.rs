//! Random parameters, each a function of the seed and its name.

use crate::config::{DecoderConfig, Family};
use crate::layers::Source;
use crate::names::names;
use crate::{LmError, Rng};
use burn::tensor::{Device, Tensor, TensorData};

/// The parameters of a model that starts from nothing.
pub(crate) struct Random<'a> {
    config: &'a DecoderConfig,
    seed: u64,
    device: &'a Device,
    embedding: &'static str,
}

impl<'a> Random<'a> {
    pub(crate) fn new(config: &'a DecoderConfig, seed: u64, device: &'a Device) -> Self {
        Self { config, seed, device, embedding: names(config.family).embedding }
    }
}

impl Source for Random<'_> {
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LmError> {
        // The only vectors are biases and norm weights.
        let value = if name.rsplit('.').next() == Some("bias") { 0.0 } else { 1.0 };
        Ok(Tensor::full([len], value, self.device))
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, LmError> {
        let mut rng = Rng::named(self.seed, name);
        let deviation = self.config.initializer_range;
        let mut values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|_| (rng.normal() * deviation) as f32).collect();
        // GPT-NeoX has no padding row.
        let pad = self.config.pad_token_id.map(|id| id as usize);
        if let Some(pad) = pad.filter(|id| *id < shape[0] && name == self.embedding)
            && self.config.family != Family::GptNeox
        {
            values[pad * shape[1]..(pad + 1) * shape[1]].fill(0.0);
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}
