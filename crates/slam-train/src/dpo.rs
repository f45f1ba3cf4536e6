//! Direct preference optimisation (Rafailov et al., 2023) on unit pairs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use slam_dataset::Key;
use slam_dataset::rng::Rng;
use slam_dataset::schema::{PreferencePair, TokeniserInfo};
use slam_dataset::shard::ShardReader;
use slam_lm::batch::next_tokens;
use slam_lm::tokenizer::unit_tokens;
use slam_lm::{BOS, Decoder, TokenBatch};

use crate::budget::Budget;
use crate::data::{same_tokeniser, tokeniser_of};
use crate::error::TrainError;
use crate::trainer::{self, Loss, Objective, OptimiserConfig, RunContext, Summary};

/// Parameters of DPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoConfig {
    /// When it ends.
    pub budget: Budget,
    /// How far the policy may go from the reference: the smaller, the farther.
    #[serde(default = "beta")]
    pub beta: f64,
    /// The chance that a label is wrong (conservative DPO), 0 for none.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Pairs of an optimiser step.
    #[serde(default = "pairs")]
    pub pairs: usize,
    /// Pairs computed at once. 0 for all of a step.
    #[serde(default)]
    pub micro_pairs: usize,
    /// Prompt and completion together may have this many tokens; longer pairs are left out and counted.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// One pair in this many is held out for validation; 0 for none.
    #[serde(default)]
    pub validation: usize,
    /// The seed of the order.
    #[serde(default)]
    pub seed: u64,
    /// How the model is optimised.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
}

fn beta() -> f64 {
    0.1
}

fn pairs() -> usize {
    64
}

fn max_length() -> usize {
    1024
}

/// A pair as tokens: `<S>` + prompt, and completions that end with `<S>`.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    id: String,
    prompt: usize,
    /// Prompt and chosen, prompt and rejected.
    sequences: [Vec<u32>; 2],
}

/// Log-probabilities of a pair's two completions.
pub(crate) type LogProbs = [f64; 2];

/// The sigmoid loss of some pairs and its rewards.
///
/// Shapes: every argument and result is `[pairs]`.
#[derive(Clone, Debug)]
pub struct DpoLoss {
    /// `-logsigmoid(β((π_c − ref_c) − (π_r − ref_r)))`, smoothed where asked.
    pub losses: Tensor<1>,
    /// `β(π_c − ref_c)`.
    pub chosen_rewards: Tensor<1>,
    /// `β(π_r − ref_r)`.
    pub rejected_rewards: Tensor<1>,
}

impl DpoLoss {
    /// The loss of equation 7 of the paper, with label smoothing as conservative DPO has it.
    pub fn new(
        policy: [Tensor<1>; 2],
        reference: [Tensor<1>; 2],
        beta: f64,
        label_smoothing: f64,
    ) -> Self {
        let [policy_chosen, policy_rejected] = policy;
        let [reference_chosen, reference_rejected] = reference;
        let chosen_rewards = (policy_chosen - reference_chosen) * beta;
        let rejected_rewards = (policy_rejected - reference_rejected) * beta;
        let margin = chosen_rewards.clone() - rejected_rewards.clone();
        let mut losses = -log_sigmoid(margin.clone()) * (1.0 - label_smoothing);
        if label_smoothing > 0.0 {
            losses = losses - log_sigmoid(-margin) * label_smoothing;
        }
        Self { losses, chosen_rewards, rejected_rewards }
    }
}

/// Optimises a model on pair shards, or goes on from the run's last checkpoint. A finished run with the
/// same configuration, model and data is left as it is. `data_key` identifies the shards' and the model's
/// content.
///
/// # Errors
/// If a shard, the model or the configuration cannot be used, the loss breaks, the disk refuses, or the
/// process is asked to stop.
pub fn dpo(
    config: &DpoConfig,
    policy: &Path,
    shards: &[PathBuf],
    data_key: &Key,
    context: &RunContext<'_>,
) -> Result<Summary, TrainError> {
    let params = serde_json::to_value(config).map_err(|e| TrainError::Config(e.to_string()))?;
    let key = Key::of_work("dpo", 1, &params, [data_key]);
    if let Some(summary) = trainer::finished(context.run, &key) {
        return Ok(summary);
    }
    if config.pairs == 0 || !(config.beta.is_finite() && config.beta > 0.0) {
        return Err(TrainError::Config("pairs and beta must be positive".into()));
    }
    if !(0.0..0.5).contains(&config.label_smoothing) {
        return Err(TrainError::Config("label_smoothing must be at least 0 and below 0.5".into()));
    }
    let (pairs, tokeniser) = read_pairs(shards, config.max_length)?;
    if let Some(model) = crate::tokeniser_of_model(policy)? {
        same_tokeniser(&shards[0], &tokeniser, policy, &model)?;
    }
    let model = Decoder::load(policy, context.device)?;
    for pair in &pairs {
        for sequence in &pair.sequences {
            model.check_tokens(sequence)?;
        }
    }
    let micro_pairs = if config.micro_pairs == 0 { config.pairs } else { config.micro_pairs };
    let reference = reference_log_probs(&model, &pairs, micro_pairs, &key, context)?;
    let held_out =
        |i: &usize| config.validation > 0 && i % config.validation == config.validation - 1;
    let (validation, train): (Vec<usize>, Vec<usize>) = (0..pairs.len()).partition(held_out);
    if train.is_empty() {
        return Err(TrainError::Config("the pair shards have no pairs to train on".into()));
    }
    let mut objective = Preference {
        config,
        micro_pairs,
        device: context.device.clone().autodiff(),
        pairs,
        reference,
        train,
        validation,
        tokeniser,
    };
    trainer::train(&mut objective, || Ok(model), &config.optimiser, config.budget, &key, context)
}

fn read_pairs(
    shards: &[PathBuf],
    max_length: usize,
) -> Result<(Vec<Pair>, TokeniserInfo), TrainError> {
    let mut found: Option<(TokeniserInfo, &Path)> = None;
    let mut pairs = Vec::new();
    let mut too_long = 0;
    for path in shards {
        let reader = ShardReader::<PreferencePair>::open(path)?;
        let info = tokeniser_of(path, reader.metadata())?;
        match &found {
            Some((first, first_path)) => same_tokeniser(path, &info, first_path, first)?,
            None => found = Some((info, path)),
        }
        for row in reader {
            let row = row?;
            let mut prompt = vec![BOS];
            prompt.extend(unit_tokens(&row.prompt));
            let sequence = |units: &[u16]| {
                let mut tokens = prompt.clone();
                tokens.extend(unit_tokens(units));
                tokens.push(BOS);
                tokens
            };
            let sequences = [sequence(&row.chosen), sequence(&row.rejected)];
            if sequences.iter().any(|s| s.len() > max_length) {
                too_long += 1;
                continue;
            }
            pairs.push(Pair { id: row.id, prompt: prompt.len(), sequences });
        }
    }
    if too_long > 0 {
        tracing::warn!(
            "{too_long} pairs are longer than max_length = {max_length} and were left out"
        );
    }
    match found {
        Some((info, _)) if !pairs.is_empty() => Ok((pairs, info)),
        _ => Err(TrainError::Config("the pair shards have no pairs that fit max_length".into())),
    }
}

/// Sums of log-probabilities of the completions' tokens: chosen `[pairs]` and rejected `[pairs]`.
///
/// One row holds a pair's two sequences as segments that do not see each other.
fn log_probs(model: &Decoder, pairs: &[&Pair], device: &Device) -> [Tensor<1>; 2] {
    let rows: Vec<Vec<&[u32]>> =
        pairs.iter().map(|p| p.sequences.iter().map(Vec::as_slice).collect()).collect();
    let batch = TokenBatch::packed(&rows, device);
    let [count, time] = batch.dims();
    let nll = model.token_nll(&batch, next_tokens(&rows, device));
    [0, 1].map(|side| {
        let mut mask = vec![0.0f32; count * time];
        for (row, pair) in mask.chunks_exact_mut(time.max(1)).zip(pairs) {
            let start = if side == 0 { 0 } else { pair.sequences[0].len() };
            // The position before a token predicts it; the last token predicts nothing.
            let end = start + pair.sequences[side].len() - 1;
            row[start + pair.prompt - 1..end].fill(-1.0);
        }
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [count, time]), device);
        (nll.clone() * mask).sum_dim(1).reshape([count])
    })
}

/// The reference's log-probabilities of every pair, computed once and kept beside the run: training holds
/// one model, not two.
fn reference_log_probs(
    model: &Decoder,
    pairs: &[Pair],
    batch: usize,
    key: &Key,
    context: &RunContext<'_>,
) -> Result<Vec<LogProbs>, TrainError> {
    #[derive(Serialize, Deserialize)]
    struct Cache {
        key: Key,
        log_probs: Vec<LogProbs>,
    }
    let path = context.run.join("reference.json");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(cache) = serde_json::from_slice::<Cache>(&bytes)
        && cache.key == *key
        && cache.log_probs.len() == pairs.len()
    {
        return Ok(cache.log_probs);
    }
    let mut all = Vec::with_capacity(pairs.len());
    let borrowed: Vec<&Pair> = pairs.iter().collect();
    for chunk in borrowed.chunks(batch) {
        let [chosen, rejected] = log_probs(model, chunk, context.device)
            .map(|t| t.into_data().iter::<f64>().collect::<Vec<_>>());
        all.extend(chosen.into_iter().zip(rejected).map(|(c, r)| [c, r]));
    }
    let cache = Cache { key: key.clone(), log_probs: all };
    slam_dataset::publish::write(&path, &serde_json::to_vec(&cache).unwrap_or_default())?;
    Ok(cache.log_probs)
}

struct Preference<'a> {
    config: &'a DpoConfig,
    micro_pairs: usize,
    device: Device,
    pairs: Vec<Pair>,
    reference: Vec<LogProbs>,
    /// Pairs to train on.
    train: Vec<usize>,
    /// Pairs held out.
    validation: Vec<usize>,
    tokeniser: TokeniserInfo,
}

impl Preference<'_> {
    fn losses(&self, model: &Decoder, chosen: &[usize], device: &Device) -> DpoLoss {
        let pairs: Vec<&Pair> = chosen.iter().map(|&i| &self.pairs[i]).collect();
        let policy = log_probs(model, &pairs, device);
        let reference = [0, 1].map(|side| {
            let values: Vec<f32> = chosen.iter().map(|&i| self.reference[i][side] as f32).collect();
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), device)
        });
        DpoLoss::new(policy, reference, self.config.beta, self.config.label_smoothing)
    }
}

/// Sums of what is reported of some pairs.
fn figures(loss: DpoLoss) -> BTreeMap<String, f64> {
    let values = |t: Tensor<1>| t.into_data().iter::<f64>().collect::<Vec<_>>();
    let (chosen, rejected) = (values(loss.chosen_rewards), values(loss.rejected_rewards));
    let margins: Vec<f64> = chosen.iter().zip(&rejected).map(|(c, r)| c - r).collect();
    BTreeMap::from([
        ("chosen_reward".to_owned(), chosen.iter().sum()),
        ("rejected_reward".to_owned(), rejected.iter().sum()),
        ("accuracy".to_owned(), margins.iter().filter(|m| **m > 0.0).count() as f64),
        ("margin".to_owned(), margins.iter().sum()),
    ])
}

impl Objective for Preference<'_> {
    type Micro = Vec<usize>;

    fn tokeniser(&self) -> &TokeniserInfo {
        &self.tokeniser
    }

    fn epoch_tokens(&self) -> u64 {
        self.train.iter().map(|&i| self.tokens(&vec![i])).sum()
    }

    fn step(&mut self, step: u64) -> Vec<Vec<usize>> {
        let per_epoch = self.train.len().div_ceil(self.config.pairs) as u64;
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        let mut order = self.train.clone();
        Rng::derive(self.config.seed, &[epoch]).shuffle(&mut order);
        let first = within * self.config.pairs;
        let chosen = &order[first..order.len().min(first + self.config.pairs)];
        chosen.chunks(self.micro_pairs).map(<[_]>::to_vec).collect()
    }

    fn tokens(&self, micro: &Vec<usize>) -> u64 {
        micro.iter().flat_map(|&i| &self.pairs[i].sequences).map(|s| s.len() as u64).sum()
    }

    fn ids(&self, micro: &Vec<usize>) -> Vec<String> {
        micro.iter().map(|&i| self.pairs[i].id.clone()).collect()
    }

    fn weight(&self, micro: &Vec<usize>) -> f64 {
        micro.len() as f64
    }

    fn loss(&self, model: &Decoder, micro: &Vec<usize>) -> Loss {
        let loss = self.losses(model, micro, &self.device);
        let sum = loss.losses.clone().sum();
        Loss { sum, figures: Box::new(move || figures(loss)) }
    }

    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for chunk in self.validation.chunks(self.micro_pairs) {
            let loss = self.losses(model, chunk, &model.device());
            let total: f64 = loss.losses.clone().into_data().iter::<f64>().sum();
            *sums.entry("val_loss".to_owned()).or_default() += total;
            for (name, value) in figures(loss) {
                *sums.entry(format!("val_{name}")).or_default() += value;
            }
        }
        let count = self.validation.len() as f64;
        Ok(sums.into_iter().map(|(name, sum)| (name, sum / count)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_nn::weights::Weights;

    #[test]
    fn the_loss_rewards_and_gradients_equal_the_reference() {
        let root = std::env::var_os("SLAM_FIXTURES").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
            PathBuf::from,
        );
        let file = Weights::open(root.join("dpo/expected.safetensors")).unwrap();
        let device = Device::flex().autodiff();
        let read = |name: &str| file.tensor_f32(name).unwrap().0;
        let tensor = |name: &str| -> Tensor<1> {
            let values = read(name);
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), &device)
        };
        let policy = ["policy_chosen", "policy_rejected"].map(|n| tensor(n).require_grad());
        let reference = ["reference_chosen", "reference_rejected"].map(tensor);
        let loss = DpoLoss::new(policy.clone(), reference, 0.1, 0.0);
        let close = |got: Tensor<1>, name: &str| {
            for (a, b) in got.into_data().iter::<f32>().zip(read(name)) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{name}: {a} != {b}");
            }
        };
        let gradients = loss.losses.clone().mean().backward();
        close(loss.losses.inner(), "losses");
        close(loss.chosen_rewards.inner(), "reward_chosen");
        close(loss.rejected_rewards.inner(), "reward_rejected");
        let [chosen, rejected] = policy;
        close(chosen.grad(&gradients).unwrap(), "grad_policy_chosen");
        close(rejected.grad(&gradients).unwrap(), "grad_policy_rejected");
    }
}
