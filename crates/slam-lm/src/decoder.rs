//! The decoder: embedding, blocks, head.

use crate::batch::TokenBatch;
use crate::config::{DecoderConfig, Family};
use crate::layers::{Block, LayerCache, Linear, Norm, Source, Visible};
use crate::names::{Names, names};
use crate::random::Random;
use crate::rope::RopeTable;
use crate::{ConfigError, InputError, LmError};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use slam_nn::ops;
use slam_nn::params::{Parameter, Parameters};

/// OPT's positions start at row 2 of the table.
const OPT_POSITION_OFFSET: usize = 2;

/// A causal language model.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    names: Names,
    embedding: Tensor<2>,
    positions: Option<Tensor<2>>,
    project_in: Option<Linear>,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
    project_out: Option<Linear>,
    head: Option<Tensor<2>>,
    rope: Option<RopeTable>,
}

/// Keys and values of the tokens read so far, for [`Decoder::extend`].
#[derive(Clone, Debug)]
pub struct Cache {
    layers: Vec<LayerCache>,
    /// Number of slots filled, for each row.
    lengths: Vec<usize>,
    capacity: usize,
}

impl Cache {
    /// Number of tokens read, for each row.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }
}

impl Decoder {
    pub(crate) fn build(
        config: &DecoderConfig,
        source: &mut dyn Source,
        device: &Device,
    ) -> Result<Self, LmError> {
        config.check().map_err(ConfigError::from)?;
        let c = config;
        let names = names(c.family);
        let embedding = source.matrix(names.embedding, [c.vocab_size, c.embed_dim])?;
        let projected = c.embed_dim != c.hidden_size;
        let mut project = |part: &str, shape| {
            let name = format!("{}.{part}", names.prefix);
            if projected { Linear::new(source, name, shape, false).map(Some) } else { Ok(None) }
        };
        let project_in = project("project_in", [c.hidden_size, c.embed_dim])?;
        let project_out = project("project_out", [c.embed_dim, c.hidden_size])?;
        let positions = if c.family == Family::Opt {
            let rows = c.max_positions + OPT_POSITION_OFFSET;
            Some(source.matrix(names.positions, [rows, c.hidden_size])?)
        } else {
            None
        };
        let blocks = (0..c.num_layers)
            .map(|i| Block::new(source, &format!("{}.layers.{i}", names.prefix), c))
            .collect::<Result<Vec<_>, _>>()?;
        let final_norm = if c.final_norm {
            Some(Norm::new(source, names.final_norm.to_owned(), c)?)
        } else {
            None
        };
        let head = if c.tie_embeddings {
            None
        } else {
            Some(source.matrix(names.head, [c.vocab_size, c.embed_dim])?)
        };
        let rope = RopeTable::new(c, device);
        let config = config.clone();
        Ok(Self {
            config,
            names,
            embedding,
            positions,
            project_in,
            blocks,
            final_norm,
            project_out,
            head,
            rope,
        })
    }

    /// A decoder with random weights, as transformers initialises them: normal with deviation
    /// `initializer_range`, biases 0, norm weights 1, the padding token's embedding 0.
    ///
    /// # Errors
    /// When the configuration's sizes do not fit each other.
    pub fn random(config: &DecoderConfig, seed: u64, device: &Device) -> Result<Self, LmError> {
        Self::build(config, &mut Random::new(config, seed, device), device)
    }

    /// The configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Number of parameters, a tied head counted once.
    pub fn num_parameters(&self) -> usize {
        Parameters::num_parameters(self)
    }

    /// The device that the parameters live on.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// The decoder on another device, in or out of autodiff.
    pub fn to_device(mut self, device: &Device) -> Self {
        self.for_each_param_mut(&mut |_, p| p.move_to(device));
        self.rope = self.rope.map(|rope| rope.to_device(device));
        self
    }

    /// The decoder with its parameters in another width, which it then computes in; norms, softmax
    /// and the loss stay in f32 inside. Within autodiff the new parameters are leaves of their own, with
    /// gradients in that width.
    #[must_use]
    pub fn cast(mut self, width: FloatDType) -> Self {
        self.for_each_param_mut(&mut |_, p| p.set_width(width));
        self
    }

    /// The width of the parameters.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// Checks that sequences of this many tokens fit and that ids are below the vocabulary's size.
    ///
    /// # Errors
    /// When one does not, naming it.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<(), InputError> {
        let limit = self.config.max_positions;
        if tokens.len() > limit {
            return Err(InputError::TooLong { tokens: tokens.len(), limit });
        }
        let vocabulary = self.config.vocab_size;
        match tokens.iter().find(|id| **id as usize >= vocabulary) {
            Some(&token) => Err(InputError::Token { token, vocabulary }),
            None => Ok(()),
        }
    }

    /// Hidden states before the output head (behind the final norm and projection).
    ///
    /// # Shapes
    /// - result: `[batch, time, embed_dim]`
    pub fn hidden(&self, batch: &TokenBatch) -> Tensor<3> {
        let [rows, time] = batch.dims();
        let flat = self.hidden_flat(batch);
        flat.reshape([rows, time, self.config.embed_dim])
    }

    fn hidden_flat(&self, batch: &TokenBatch) -> Tensor<2> {
        let mut x = self.embed(&batch.input_ids, &batch.positions);
        // No position of a row reaches its length.
        let rope = self.rope.as_ref().map(|rope| rope.positions(batch.dims()[1]));
        for block in &self.blocks {
            let visible = Visible::Segments { starts: &batch.starts, ends: batch.ends.as_ref() };
            x = block.forward(x, rope.as_ref(), &batch.positions, visible);
        }
        self.finish(x)
    }

    /// Logits of the next token.
    ///
    /// # Shapes
    /// - result: `[batch, time, vocab]`
    pub fn logits(&self, batch: &TokenBatch) -> Tensor<3> {
        let [rows, time] = batch.dims();
        let logits = ops::linear(self.hidden_flat(batch), self.head_weight(), None);
        logits.reshape([rows, time, self.config.vocab_size])
    }

    /// Negative log-likelihood in nats of each target, without holding all logits; 0 where the
    /// target is negative.
    ///
    /// # Shapes
    /// - `targets` and the result: `[batch, time]`
    pub fn token_nll(&self, batch: &TokenBatch, targets: Tensor<2, Int>) -> Tensor<2> {
        let [rows, time] = batch.dims();
        let targets = targets.reshape([rows * time]);
        ops::token_nll(self.hidden_flat(batch), self.head_weight(), targets).reshape([rows, time])
    }

    /// An empty cache for `rows` sequences of up to `capacity` tokens each.
    pub fn new_cache(&self, rows: usize, capacity: usize) -> Cache {
        let c = &self.config;
        let shape = [rows, capacity, c.num_kv_heads, c.head_dim];
        let (device, width) = (self.device(), self.dtype());
        let empty = || Some(Tensor::zeros(shape, (&device, width)));
        let layers =
            self.blocks.iter().map(|_| LayerCache { keys: empty(), values: empty() }).collect();
        Cache { layers, lengths: vec![0; rows], capacity }
    }

    /// Reads new tokens of each row behind those in the cache: the logits behind each row's last
    /// new token. A row without new tokens gets meaningless logits and stays as it is.
    ///
    /// # Shapes
    /// - result: `[rows, vocab]`
    ///
    /// # Errors
    /// When the number of rows differs from the cache's, or a row does not fit it or the model.
    pub fn extend(&self, cache: &mut Cache, new: &[&[u32]]) -> Result<Tensor<2>, LmError> {
        let rows = new.len();
        if rows != cache.lengths.len() {
            return Err(InputError::Rows { rows, cached: cache.lengths.len() }.into());
        }
        let limit = cache.capacity.min(self.config.max_positions);
        let time = new.iter().map(|row| row.len()).max().unwrap_or(0).max(1);
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        let (mut slots, mut visible, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (tokens, length)) in new.iter().zip(&mut cache.lengths).enumerate() {
            self.check_tokens(tokens)?;
            if *length + tokens.len() > limit {
                let tokens = *length + tokens.len();
                return Err(InputError::CacheFull { row, tokens, limit }.into());
            }
            for i in 0..time {
                let at = (*length + i) as i64;
                let token = tokens.get(i);
                ids.push(i64::from(token.copied().unwrap_or(crate::PAD)));
                positions.push(if token.is_some() { at } else { 0 });
                slots.push(if token.is_some() { at } else { -1 });
                visible.push(if token.is_some() { at + 1 } else { 0 });
            }
            *length += tokens.len();
            last.push((row * time + tokens.len().saturating_sub(1)) as i64);
        }
        let device = self.device();
        let tensor = |values| crate::batch::int_tensor(values, [rows, time], &device);
        let (ids, positions) = (tensor(ids), tensor(positions));
        let (slots, visible) = (tensor(slots), tensor(visible));
        let mut x = self.embed(&ids, &positions);
        let rope = self.rope.as_ref().map(|rope| rope.positions(cache.capacity));
        for (block, layer) in self.blocks.iter().zip(&mut cache.layers) {
            let seen = Visible::Cache { slots: &slots, visible: &visible, layer };
            x = block.forward(x, rope.as_ref(), &positions, seen);
        }
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [rows]), &device);
        let x = if time == 1 { x } else { x.select(0, last) };
        Ok(ops::linear(self.finish(x), self.head_weight(), None))
    }

    fn head_weight(&self) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding).clone()
    }

    fn embed(&self, ids: &Tensor<2, Int>, positions: &Tensor<2, Int>) -> Tensor<2> {
        let [rows, time] = ids.dims();
        let flat = |t: &Tensor<2, Int>| t.clone().reshape([rows * time]);
        let mut x = self.embedding.clone().select(0, flat(ids));
        if let Some(project) = &self.project_in {
            x = project.forward(x);
        }
        if let Some(table) = &self.positions {
            let at = flat(positions).add_scalar(OPT_POSITION_OFFSET as i64);
            x = x + table.clone().select(0, at);
        }
        x
    }

    fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        let x = match &self.final_norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        match &self.project_out {
            Some(project) => project.forward(x),
            None => x,
        }
    }
}

impl Parameters for Decoder {
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Parameter)) {
        f(self.names.embedding, &mut self.embedding);
        if let Some(table) = &mut self.positions {
            f(self.names.positions, table);
        }
        if let Some(project) = &mut self.project_in {
            project.for_each_param_mut(f);
        }
        for block in &mut self.blocks {
            block.for_each_param_mut(f);
        }
        if let Some(norm) = &mut self.final_norm {
            norm.for_each_param_mut(f);
        }
        if let Some(project) = &mut self.project_out {
            project.for_each_param_mut(f);
        }
        if let Some(head) = &mut self.head {
            f(self.names.head, head);
        }
    }
}
