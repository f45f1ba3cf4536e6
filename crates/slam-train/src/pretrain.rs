//! Pre-training: next-token prediction over packed unit sequences.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use serde_json::Value;
use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::batch::next_tokens;
use slam_lm::{Decoder, DecoderConfig, LmError, TokenBatch};
use slam_recipe::Key;
pub use slam_recipe::training::PretrainConfig;

use crate::config_error::{ConfigError, Wanted, within};
use crate::context::{Mode, RunContext};
use crate::data::{Corpus, Samples, Selection, UnitShards, choose, rates, same_tokeniser};
use crate::error::TrainError;
use crate::job::Job;
use crate::objective::{Loss, Objective, Steps};
use crate::packing::{self, Packing, Piece};
use crate::report::{self, Ended, Update};
use crate::trainer;

/// Where a model's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Random weights of a Hugging Face configuration; its vocabulary is set from the tokeniser.
    Random(Value),
    /// A checkpoint.
    Checkpoint {
        /// Its folder.
        folder: PathBuf,
        /// The key of its content: other weights in the same folder are another run.
        key: Key,
    },
}

impl Start {
    /// What of the start the weights depend on.
    fn identity(&self) -> Value {
        match self {
            Self::Random(config) => serde_json::json!({"random": config}),
            Self::Checkpoint { key, .. } => serde_json::json!({"checkpoint": key}),
        }
    }
}

/// Pre-trains a model on unit shards, or goes on from the run's last checkpoint. A finished run with the
/// same configuration and data is left as it is. `data_key` identifies the shards' content.
///
/// The tokens are read from `tokens/` in the run's folder, which is written first where it is not there.
///
/// # Errors
/// If a shard or the configuration cannot be used, the loss breaks, the disk refuses, or the process is
/// asked to stop.
pub fn pretrain(
    config: &PretrainConfig,
    start: &Start,
    datasets: &[UnitShards],
    data_key: &Key,
    context: &RunContext<'_>,
) -> Result<Ended, TrainError> {
    let params = serde_json::json!({"config": config, "start": start.identity()});
    let identity = serde_json::json!({"config": config.identity(), "start": params["start"]});
    let key = Key::of_work("pretrain", 4, &identity, [data_key]);
    if let Some(summary) = report::finished(context.run, &key) {
        return Ok(Ended::Trained(summary));
    }
    within("context", config.context as f64, Wanted::AtLeast(2.0))?;
    within("rows", config.rows as f64, Wanted::AtLeast(1.0))?;
    let &PretrainConfig { min_units, max_units, validation, .. } = config;
    let selection = Selection { min_units, max_units, validation };
    let corpus = Corpus::open(&context.run.join("tokens"), datasets, data_key, &selection)?;
    if let Start::Checkpoint { folder: model, .. } = start
        && let Some(of_model) = crate::tokeniser_of_model(model)?
        && let Some(shard) = datasets.iter().flat_map(|d| &d.shards).next()
    {
        same_tokeniser(shard, &corpus.tokeniser, model, &of_model)?;
    }
    for dataset in &corpus.datasets {
        (context.tell)(&Update::Note(dataset.to_string()));
    }
    let rates = rates(&config.mixture, &corpus.datasets)?;
    let mut first_sample = 0;
    let mixed = corpus.datasets.iter().zip(rates).map(|(dataset, rate)| {
        let first = first_sample;
        first_sample += dataset.train.samples as usize;
        let tokens = rate * dataset.train.tokens as f64;
        Mixed { samples: first..first_sample, rate, tokens }
    });
    let first = || first_model(start, &corpus, config, context);
    let objective = NextToken {
        context: config.context,
        rows: config.rows,
        micro_rows: context.part_of(config.rows, config.micro_rows),
        packing: config.packing,
        seed: config.seed,
        mixed: mixed.collect(),
        corpus: &corpus,
    };
    let job =
        Job { optimiser: &config.optimiser, budget: config.budget, key: &key, params: &params };
    trainer::train(&objective, first, &job, context)
}

/// The model before its first step; kept as `initial/`, so that it can be scored too.
fn first_model(
    start: &Start,
    corpus: &Corpus,
    config: &PretrainConfig,
    context: &RunContext<'_>,
) -> Result<Decoder, TrainError> {
    let vocabulary = corpus.tokeniser.k as usize + slam_lm::FIRST_UNIT as usize;
    let model = match start {
        Start::Random(json) => {
            let mut json = json.clone();
            if let Some(map) = json.as_object_mut() {
                map.insert("vocab_size".into(), vocabulary.into());
                for (name, id) in [
                    ("bos_token_id", slam_lm::BOS),
                    ("eos_token_id", slam_lm::BOS),
                    ("pad_token_id", slam_lm::PAD),
                ] {
                    map.insert(name.into(), id.into());
                }
            }
            let shape = DecoderConfig::from_json(&json).map_err(LmError::from)?;
            Decoder::random(&shape, config.seed, context.device)?
        }
        Start::Checkpoint { folder, .. } => Decoder::load(folder, context.device)?,
    };
    let c = model.config();
    if c.vocab_size < vocabulary {
        return Err(ConfigError::Vocabulary { model: c.vocab_size, units: vocabulary }.into());
    }
    if c.max_positions < config.context {
        let (context, positions) = (config.context, c.max_positions);
        return Err(ConfigError::Context { context, positions }.into());
    }
    if context.mode == Mode::Train {
        crate::state::publish_model(context.run, "initial", &model, &corpus.tokeniser)?;
    }
    Ok(model)
}

/// A dataset as an epoch reads it.
struct Mixed {
    /// Its training samples.
    samples: Range<usize>,
    /// How often each is read, on average.
    rate: f64,
    /// Tokens that this comes to.
    tokens: f64,
}

/// Mean negative log-likelihood of the next token.
struct NextToken<'a> {
    context: usize,
    rows: usize,
    micro_rows: usize,
    packing: Packing,
    seed: u64,
    mixed: Vec<Mixed>,
    corpus: &'a Corpus,
}

/// Rows of tokens, read from the token file ahead of the device.
struct Rows {
    pieces: Vec<Vec<Piece>>,
    tokens: Vec<Vec<Vec<u32>>>,
}

impl Rows {
    fn of(samples: &Samples, rows: &[Vec<Piece>]) -> Self {
        let segment = |p: &Piece| {
            let tokens = &samples.tokens(p.sample)[p.start..p.start + p.length];
            tokens.iter().map(|&t| u32::from(t)).collect()
        };
        let tokens = rows.iter().map(|row| row.iter().map(segment).collect()).collect();
        Self { pieces: rows.to_vec(), tokens }
    }

    /// Negative log-likelihood of each target.
    ///
    /// # Shapes
    /// - result: `[rows, time]`
    fn nll(&self, model: &Decoder, device: &Device) -> Tensor<2> {
        let rows: Vec<Vec<&[u32]>> =
            self.tokens.iter().map(|row| row.iter().map(Vec::as_slice).collect()).collect();
        let batch = TokenBatch::packed(&rows, device);
        model.token_nll(&batch, next_tokens(&rows, device))
    }
}

impl NextToken<'_> {
    fn pack_epoch(&self, epoch: u64) -> Vec<Vec<Piece>> {
        let train = &self.corpus.train;
        let chosen = self.mixed.iter().zip(0..);
        let mut order: Vec<(usize, usize)> = chosen
            .flat_map(|(m, i)| choose(m.samples.clone(), m.rate, self.seed, i, epoch))
            .map(|sample| (sample, train.length(sample)))
            .collect();
        let mut rng = Rng::derive(self.seed, &[epoch]);
        rng.shuffle(&mut order);
        let mut rows = packing::pack(&order, self.context, self.packing);
        // Best-fit leaves the rows that were closed last at the end; their order must not tell.
        rng.shuffle(&mut rows);
        rows
    }

    fn steps_of(&self, rows: &[Vec<Piece>]) -> u64 {
        rows.len().div_ceil(self.rows) as u64
    }
}

/// Tokens that are predicted: all but each piece's first.
fn targets(rows: &[Vec<Piece>]) -> usize {
    rows.iter().flatten().map(|p| p.length - 1).sum()
}

impl Objective for NextToken<'_> {
    type Micro = Rows;

    fn tokeniser(&self) -> &TokeniserInfo {
        &self.corpus.tokeniser
    }

    fn epoch_tokens(&self) -> u64 {
        self.mixed.iter().map(|m| m.tokens).sum::<f64>().round() as u64
    }

    fn steps(&self) -> Steps<'_, Rows> {
        // The epoch in use, and the first step of each epoch met so far.
        let mut packed: Option<(u64, Vec<Vec<Piece>>)> = None;
        let mut epoch_starts = vec![0u64];
        Box::new(move |step| {
            // Walks to the step's epoch; packing one takes milliseconds, so that nothing need be saved.
            let mut epoch = epoch_starts.iter().rposition(|&s| s <= step).unwrap_or(0) as u64;
            loop {
                let start = epoch_starts[epoch as usize];
                let rows = match packed.take() {
                    Some((e, rows)) if e == epoch => rows,
                    _ => self.pack_epoch(epoch),
                };
                let steps = self.steps_of(&rows);
                if step < start + steps {
                    let first = (step - start) as usize * self.rows;
                    let chosen = &rows[first..rows.len().min(first + self.rows)];
                    let parts = chosen.chunks(self.micro_rows);
                    let parts = parts.map(|part| Rows::of(&self.corpus.train, part)).collect();
                    packed = Some((epoch, rows));
                    return parts;
                }
                epoch += 1;
                if epoch_starts.len() == epoch as usize {
                    epoch_starts.push(start + steps);
                }
            }
        })
    }

    fn tokens(&self, rows: &Rows) -> u64 {
        rows.pieces.iter().flatten().map(|p| p.length as u64).sum()
    }

    fn ids(&self, rows: &Rows) -> Vec<String> {
        let pieces = rows.pieces.iter().flatten();
        pieces.map(|p| self.corpus.train.id(p.sample).to_owned()).collect()
    }

    fn weight(&self, rows: &Rows) -> f64 {
        targets(&rows.pieces) as f64
    }

    fn loss(&self, model: &Decoder, rows: &Rows, device: &Device) -> Loss {
        let nll = rows.nll(model, device);
        Loss { sum: nll.sum(), figures: Box::new(BTreeMap::new) }
    }

    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError> {
        let validation = &self.corpus.validation;
        if validation.is_empty() {
            return Ok(BTreeMap::new());
        }
        let samples: Vec<_> = (0..validation.len()).map(|i| (i, validation.length(i))).collect();
        let packed = packing::pack(&samples, self.context, Packing::Fill);
        let device = model.device();
        let mut sum = 0.0;
        for rows in packed.chunks(self.micro_rows) {
            let nll = Rows::of(validation, rows).nll(model, &device);
            sum += nll.into_data().iter::<f64>().sum::<f64>();
        }
        Ok(BTreeMap::from([("val_loss".to_owned(), sum / targets(&packed).max(1) as f64)]))
    }
}
