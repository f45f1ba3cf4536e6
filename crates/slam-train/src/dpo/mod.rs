//! Direct preference optimisation (Rafailov et al., 2023) on unit pairs.

mod loss;
mod pairs;
mod reference;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::{Decoder, LmError};
use slam_recipe::Key;
pub use slam_recipe::training::DpoConfig;

use crate::budget::Budget;
use crate::config_error::{ConfigError, Wanted, within};
use crate::context::RunContext;
use crate::data::same_tokeniser;
use crate::error::TrainError;
use crate::gradients;
use crate::job::Job;
use crate::objective::{Loss, Objective, Steps};
use crate::report::{self, Ended};
use crate::trainer;

pub use loss::DpoLoss;
pub use pairs::Truncation;

use pairs::{Caps, Pair};
use reference::LogProbs;

fn caps(config: &DpoConfig) -> Caps {
    let &DpoConfig { max_prompt_length, max_completion_length, max_length, truncation, .. } =
        config;
    Caps { max_prompt_length, max_completion_length, max_length, truncation }
}

fn check(config: &DpoConfig) -> Result<(), ConfigError> {
    within("pairs", config.pairs as f64, Wanted::AtLeast(1.0))?;
    within("beta", config.beta, Wanted::Positive)?;
    within("label_smoothing", config.label_smoothing, Wanted::Below(0.5))
}

fn micro_pairs(config: &DpoConfig) -> usize {
    if config.micro_pairs == 0 { config.pairs } else { config.micro_pairs }
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
) -> Result<Ended, TrainError> {
    let params = serde_json::json!(config);
    let key = Key::of_work("dpo", 2, &config.identity(), [data_key]);
    if let Some(summary) = report::finished(context.run, &key) {
        return Ok(Ended::Trained(summary));
    }
    check(config)?;
    let caps = caps(config);
    let read = pairs::read(shards, &caps)?;
    if let Some(model) = crate::tokeniser_of_model(policy)? {
        same_tokeniser(&shards[0], &read.tokeniser, policy, &model)?;
    }
    let load = || -> Result<Decoder, TrainError> {
        let model = Decoder::load(policy, context.device)?;
        for side in read.all.iter().flat_map(|p| &p.sides) {
            model.check_tokens(&side.tokens).map_err(LmError::from)?;
        }
        Ok(model)
    };
    let micro_pairs = micro_pairs(config);
    let width = config.optimiser.precision;
    // In the policy's own width, or the first margins would be rounding errors.
    let mut reference_model =
        || load().map(|model| gradients::computing(&model, &config.optimiser));
    let reference = reference::reference(
        &read,
        shards,
        &caps,
        width,
        policy,
        micro_pairs,
        &mut reference_model,
        context,
    )?;
    // The reference keeps account of its own time; the trainer's begins here.
    let context = &RunContext { started: Instant::now(), ..*context };
    let budget = rest_of(config.budget, reference.seconds)?;
    let first_model = load;
    let pairs::Pairs { all: pairs, tokeniser, .. } = &read;
    let held_out =
        |i: &usize| config.validation > 0 && i % config.validation == config.validation - 1;
    let (validation, train): (Vec<usize>, Vec<usize>) = (0..pairs.len()).partition(held_out);
    if train.is_empty() {
        let (validation, pairs) = (config.validation, pairs.len());
        return Err(ConfigError::AllHeldOut { validation, pairs }.into());
    }
    let objective = Preference {
        config,
        micro_pairs: context.part_of(config.pairs, config.micro_pairs),
        pairs,
        reference: reference.log_probs,
        train,
        validation,
        tokeniser,
    };
    let job = Job { optimiser: &config.optimiser, budget, key: &key, params: &params };
    trainer::train(&objective, first_model, &job, context)
}

/// What the reference leaves of a time budget, so that the whole run ends on it.
fn rest_of(budget: Budget, reference: f64) -> Result<Budget, ConfigError> {
    match budget {
        Budget::Seconds(budget) if reference >= budget => {
            Err(ConfigError::ReferenceTookAll { reference, budget })
        }
        Budget::Seconds(total) => Ok(Budget::Seconds(total - reference)),
        other => Ok(other),
    }
}

struct Preference<'a> {
    config: &'a DpoConfig,
    micro_pairs: usize,
    pairs: &'a [Pair],
    reference: Vec<LogProbs>,
    /// Pairs to train on.
    train: Vec<usize>,
    /// Pairs held out.
    validation: Vec<usize>,
    tokeniser: &'a TokeniserInfo,
}

impl Preference<'_> {
    fn losses(&self, model: &Decoder, chosen: &[usize], device: &Device) -> DpoLoss {
        let pairs: Vec<&Pair> = chosen.iter().map(|&i| &self.pairs[i]).collect();
        let policy = rows::log_probs(model, &pairs, device);
        let reference = [0, 1].map(|side| {
            let values: Vec<f32> = chosen.iter().map(|&i| self.reference[i][side] as f32).collect();
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), device)
        });
        DpoLoss::new(policy, reference, self.config.beta, self.config.label_smoothing)
    }
}

impl Objective for Preference<'_> {
    type Micro = Vec<usize>;

    fn tokeniser(&self) -> &TokeniserInfo {
        self.tokeniser
    }

    fn epoch_tokens(&self) -> u64 {
        self.train.iter().map(|&i| self.tokens(&vec![i])).sum()
    }

    fn steps(&self) -> Steps<'_, Vec<usize>> {
        let per_epoch = self.train.len().div_ceil(self.config.pairs) as u64;
        Box::new(move |step| {
            let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
            let mut order = self.train.clone();
            Rng::derive(self.config.seed, &[epoch]).shuffle(&mut order);
            let first = within * self.config.pairs;
            let chosen = &order[first..order.len().min(first + self.config.pairs)];
            chosen.chunks(self.micro_pairs).map(<[_]>::to_vec).collect()
        })
    }

    fn tokens(&self, micro: &Vec<usize>) -> u64 {
        micro.iter().flat_map(|&i| &self.pairs[i].sides).map(|s| s.tokens.len() as u64).sum()
    }

    fn ids(&self, micro: &Vec<usize>) -> Vec<String> {
        micro.iter().map(|&i| self.pairs[i].id.clone()).collect()
    }

    fn weight(&self, micro: &Vec<usize>) -> f64 {
        micro.len() as f64
    }

    fn loss(&self, model: &Decoder, micro: &Vec<usize>, device: &Device) -> Loss {
        let loss = self.losses(model, micro, device);
        let sum = loss.losses.clone().sum();
        Loss { sum, figures: Box::new(move || loss.figures()) }
    }

    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for chunk in self.validation.chunks(self.micro_pairs) {
            let loss = self.losses(model, chunk, &model.device());
            let total: f64 = loss.losses.clone().into_data().iter::<f64>().sum();
            *sums.entry("val_loss".to_owned()).or_default() += total;
            for (name, value) in loss.figures() {
                *sums.entry(format!("val_{name}")).or_default() += value;
            }
        }
        let count = self.validation.len() as f64;
        Ok(sums.into_iter().map(|(name, sum)| (name, sum / count)).collect())
    }
}
