//! Pre-training: next-token prediction over packed unit sequences.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slam_dataset::Key;
use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::batch::next_tokens;
use slam_lm::{Decoder, DecoderConfig, TokenBatch};

use crate::budget::Budget;
use crate::config::{self, OptimiserConfig};
use crate::data::{self, Corpus, Samples};
use crate::error::TrainError;
use crate::objective::{Loss, Objective, Steps};
use crate::packing::{self, Packing, Piece};
use crate::trainer::{self, Job, Mode, RunContext, Summary};

/// Parameters of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// When it ends.
    pub budget: Budget,
    /// Tokens of a row.
    #[serde(default = "context")]
    pub context: usize,
    /// Rows of an optimiser step.
    #[serde(default = "rows")]
    pub rows: usize,
    /// Rows computed at once; the rest of a step follows (gradient accumulation). 0 for all.
    #[serde(default)]
    pub micro_rows: usize,
    /// How samples become rows.
    #[serde(default)]
    pub packing: Packing,
    /// The seed of the order and of random weights.
    #[serde(default)]
    pub seed: u64,
    /// How the model is optimised.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
}

fn context() -> usize {
    1024
}

fn rows() -> usize {
    128
}

/// Where a model's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Random weights of a Hugging Face configuration; its vocabulary is set from the tokeniser.
    Random(Value),
    /// A checkpoint folder.
    Checkpoint(PathBuf),
}

/// Pre-trains a model on unit shards, or goes on from the run's last checkpoint. A finished run with the
/// same configuration and data is left as it is. `data_key` identifies the shards' content.
///
/// # Errors
/// If a shard or the configuration cannot be used, the loss breaks, the disk refuses, or the process is
/// asked to stop.
pub fn pretrain(
    config: &PretrainConfig,
    start: &Start,
    shards: &[PathBuf],
    data_key: &Key,
    context: &RunContext<'_>,
) -> Result<Summary, TrainError> {
    let params = serde_json::json!({"config": config, "start": format!("{start:?}")});
    let identity = serde_json::json!({"config": config::identity(&params["config"]), "start": params["start"]});
    let key = Key::of_work("pretrain", 2, &identity, [data_key]);
    if let Some(summary) = trainer::finished(context.run, &key) {
        return Ok(summary);
    }
    if config.context < 2 || config.rows == 0 {
        return Err(TrainError::Config("context must be at least 2 and rows at least 1".into()));
    }
    let corpus = data::read_corpus(shards)?;
    let first = || first_model(start, &corpus, config, context);
    let micro_rows = if config.micro_rows == 0 { config.rows } else { config.micro_rows };
    let objective = NextToken {
        context: config.context,
        rows: config.rows,
        micro_rows,
        packing: config.packing,
        seed: config.seed,
        device: config.optimiser.autodiff(context.device),
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
            Decoder::random(&DecoderConfig::from_json(&json)?, config.seed, context.device)?
        }
        Start::Checkpoint(path) => Decoder::load(path, context.device)?,
    };
    let c = model.config();
    if c.vocab_size < vocabulary {
        return Err(TrainError::Config(format!(
            "the model knows {} tokens, the units need {vocabulary}",
            c.vocab_size
        )));
    }
    if c.max_positions < config.context {
        return Err(TrainError::Config(format!(
            "the context of {} is longer than the model's {} positions",
            config.context, c.max_positions
        )));
    }
    if context.mode == Mode::Train {
        crate::state::publish_model(context.run, "initial", &model, &corpus.tokeniser)?;
    }
    Ok(model)
}

/// Mean negative log-likelihood of the next token.
struct NextToken<'a> {
    context: usize,
    rows: usize,
    micro_rows: usize,
    packing: Packing,
    seed: u64,
    device: Device,
    corpus: &'a Corpus,
}

/// Rows of tokens.
type Rows = Vec<Vec<Piece>>;

impl NextToken<'_> {
    fn pack_epoch(&self, epoch: u64) -> Rows {
        let train = &self.corpus.train;
        let mut order: Vec<(usize, usize)> =
            (0..train.len()).map(|i| (i, train.tokens(i).len())).collect();
        let mut rng = Rng::derive(self.seed, &[epoch]);
        rng.shuffle(&mut order);
        let mut rows = packing::pack(&order, self.context, self.packing);
        // Best-fit leaves the rows that were closed last at the end; their order must not tell.
        rng.shuffle(&mut rows);
        rows
    }

    fn steps_of(&self, rows: &Rows) -> u64 {
        rows.len().div_ceil(self.rows) as u64
    }
}

fn segments(samples: &Samples, rows: &[Vec<Piece>]) -> Vec<Vec<Vec<u32>>> {
    let segment = |p: &Piece| {
        let tokens = &samples.tokens(p.sample)[p.start..p.start + p.length];
        tokens.iter().map(|&t| u32::from(t)).collect()
    };
    rows.iter().map(|row| row.iter().map(segment).collect()).collect()
}

fn borrowed(rows: &[Vec<Vec<u32>>]) -> Vec<Vec<&[u32]>> {
    rows.iter().map(|row| row.iter().map(Vec::as_slice).collect()).collect()
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
        self.corpus.train.num_tokens() as u64
    }

    fn steps(&self) -> Steps<'_, Rows> {
        // The epoch in use, and the first step of each epoch met so far.
        let mut packed: Option<(u64, Rows)> = None;
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
                    let parts = chosen.chunks(self.micro_rows).map(<[_]>::to_vec).collect();
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
        rows.iter().flatten().map(|p| p.length as u64).sum()
    }

    fn ids(&self, rows: &Rows) -> Vec<String> {
        rows.iter().flatten().map(|p| self.corpus.train.id(p.sample).to_owned()).collect()
    }

    fn weight(&self, rows: &Rows) -> f64 {
        targets(rows) as f64
    }

    fn loss(&self, model: &Decoder, rows: &Rows) -> Loss {
        let rows = segments(&self.corpus.train, rows);
        let rows = borrowed(&rows);
        let batch = TokenBatch::packed(&rows, &self.device);
        let nll = model.token_nll(&batch, next_tokens(&rows, &self.device));
        Loss { sum: nll.sum(), figures: Box::new(BTreeMap::new) }
    }

    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError> {
        let validation = &self.corpus.validation;
        if validation.is_empty() {
            return Ok(BTreeMap::new());
        }
        let samples: Vec<_> =
            (0..validation.len()).map(|i| (i, validation.tokens(i).len())).collect();
        let packed = packing::pack(&samples, self.context, Packing::Fill);
        let device = model.device();
        let mut sum = 0.0;
        for rows in packed.chunks(self.micro_rows) {
            let rows = segments(validation, rows);
            let rows = borrowed(&rows);
            let batch = TokenBatch::packed(&rows, &device);
            let nll = model.token_nll(&batch, next_tokens(&rows, &device));
            sum += nll.into_data().iter::<f64>().sum::<f64>();
        }
        Ok(BTreeMap::from([("val_loss".to_owned(), sum / targets(&packed).max(1) as f64)]))
    }
}
