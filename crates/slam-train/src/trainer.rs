//! The training loop that pre-training and DPO share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use slam_dataset::Key;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::Decoder;
use slam_nn::ops::AdamWStep;
use slam_nn::params::Parameters;

use crate::budget::{Budget, Spent};
use crate::error::TrainError;
use crate::metrics::Metrics;
use crate::optimiser::{AdamW, GradientSum};
use crate::schedule::{Schedule, Shape};
use crate::state::{self, State};

/// What a run writes when it is finished, beside the model in `final/`.
const SUMMARY: &str = "summary.json";

/// How a model is optimised; the same for pre-training and DPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// The highest learning rate.
    pub peak_lr: f64,
    /// The learning rate a cosine ends at.
    pub min_lr: f64,
    /// The shape of the schedule.
    pub schedule: Shape,
    /// The share of the budget that the linear warm-up takes.
    pub warmup: f64,
    /// The global norm that gradients are clipped to; 0 for none.
    pub clip: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
    /// Steps between validations; 0 for only the last.
    pub validate_every: u64,
    /// Seconds between checkpoints.
    pub save_every_seconds: f64,
    /// How many checkpoints are kept.
    pub keep: usize,
}

impl Default for OptimiserConfig {
    /// The recipe's values.
    fn default() -> Self {
        Self {
            peak_lr: 1e-3,
            min_lr: 5e-5,
            schedule: Shape::Cosine,
            warmup: 0.01,
            clip: 0.5,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            log_every: 10,
            validate_every: 0,
            save_every_seconds: 600.0,
            keep: 2,
        }
    }
}

impl OptimiserConfig {
    fn schedule(&self) -> Schedule {
        let Self { peak_lr, min_lr, warmup, .. } = *self;
        Schedule { shape: self.schedule, peak_lr, min_lr, warmup }
    }

    fn check(&self) -> Result<(), TrainError> {
        let bad = |m: &str| Err(TrainError::Config(format!("optimiser: {m}")));
        if !(self.peak_lr.is_finite() && self.peak_lr > 0.0) {
            return bad("peak_lr must be positive");
        }
        if !(0.0..=self.peak_lr).contains(&self.min_lr) {
            return bad("min_lr must be between 0 and peak_lr");
        }
        if !(0.0..1.0).contains(&self.warmup) {
            return bad("warmup is a share of the run, 0 to 1");
        }
        if !(0.0..1.0).contains(&self.beta1) || !(0.0..1.0).contains(&self.beta2) {
            return bad("beta1 and beta2 must be at least 0 and below 1");
        }
        if self.log_every == 0 {
            return bad("log_every must be at least 1");
        }
        Ok(())
    }
}

/// What is optimised.
pub(crate) trait Objective {
    /// A part of a step that fits into memory at once.
    type Micro;

    /// The tokeniser of the data.
    fn tokeniser(&self) -> &TokeniserInfo;

    /// Tokens of one pass over the data.
    fn epoch_tokens(&self) -> u64;

    /// The parts of a step, in order: a function of the step's number alone.
    fn step(&mut self, step: u64) -> Vec<Self::Micro>;

    /// Tokens of a part.
    fn tokens(&self, micro: &Self::Micro) -> u64;

    /// The names of a part's samples, for the report of a broken loss.
    fn ids(&self, micro: &Self::Micro) -> Vec<String>;

    /// A part's loss as a sum, its weight (what the sum is divided by over the whole step), and figures
    /// for the metrics as sums over the same weight.
    fn loss(&self, model: &Decoder, micro: &Self::Micro) -> Loss;

    /// The weight of a part, known before its loss.
    fn weight(&self, micro: &Self::Micro) -> f64;

    /// Figures of held-out data, with `val_loss` among them; none where there is no held-out data.
    fn validate(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, TrainError>;
}

/// A part's loss.
pub(crate) struct Loss {
    /// The sum of its samples' losses, `[1]`.
    pub(crate) sum: Tensor<1>,
    /// Sums of other figures, computed once the backward pass is under way.
    pub(crate) figures: Box<dyn FnOnce() -> BTreeMap<String, f64>>,
}

/// The surroundings of a run; nothing in here changes its result.
pub struct RunContext<'a> {
    /// The run's folder.
    pub run: &'a Path,
    /// The device, outside autodiff.
    pub device: &'a Device,
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
    /// Where progress goes.
    pub progress: &'a dyn Fn(&Report),
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The fraction of the budget that is spent.
    pub progress: f64,
    /// What is spent.
    pub spent: Spent,
    /// The last loss.
    pub loss: f64,
    /// The last learning rate.
    pub lr: f64,
    /// Tokens a second in this session.
    pub tokens_per_second: f64,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the run was made of.
    pub key: Key,
    /// What it took.
    pub spent: Spent,
    /// The last logged training loss.
    pub loss: f64,
    /// Figures of held-out data at the end.
    pub validation: BTreeMap<String, f64>,
    /// Parameters of the model.
    pub parameters: u64,
    /// Whether the run was finished before this call.
    #[serde(skip)]
    pub was_done: bool,
}

/// The summary of a finished run with this key.
pub(crate) fn finished(run: &Path, key: &Key) -> Option<Summary> {
    let bytes = fs::read(run.join(SUMMARY)).ok()?;
    let summary: Summary = serde_json::from_slice(&bytes).ok()?;
    (summary.key == *key && run.join("final").is_dir())
        .then_some(Summary { was_done: true, ..summary })
}

/// Trains a model to the end of its budget, from its last checkpoint where there is one.
pub(crate) fn train<O: Objective>(
    objective: &mut O,
    start: impl FnOnce() -> Result<Decoder, TrainError>,
    config: &OptimiserConfig,
    budget: Budget,
    key: &Key,
    context: &RunContext<'_>,
) -> Result<Summary, TrainError> {
    config.check()?;
    budget.check().map_err(TrainError::Config)?;
    if let Some(summary) = finished(context.run, key) {
        return Ok(summary);
    }
    let saved = state::load(context.run, key, context.device)?;
    let (mut state, model, mut optimiser) = if let Some(saved) = saved {
        saved
    } else {
        state::clear(context.run)?;
        let model = start()?;
        let optimiser = AdamW::new(&model);
        let state = State { key: key.clone(), spent: Spent::default(), best_validation: None };
        (state, model, optimiser)
    };
    let mut model = model.to_device(&context.device.clone().autodiff());
    model.for_each_param_mut(&mut |_, mut p| p.set_require_grad(true));
    let mut metrics = Metrics::open(&context.run.join("metrics.jsonl"), state.spent.steps)?;
    let mut session = Session {
        schedule: config.schedule(),
        started: Instant::now(),
        before: state.spent,
        last_save: Instant::now(),
        reserve: Duration::ZERO,
        loss: f64::NAN,
    };
    loop {
        let progress = budget.progress(&state.spent, objective.epoch_tokens(), session.reserve);
        if progress >= 1.0 {
            break;
        }
        let lr = session.schedule.lr(progress);
        let done = optimise(objective, &mut model, &mut optimiser, config, lr, &state, context)?;
        session.loss = done.loss;
        state.spent.steps += 1;
        state.spent.tokens += done.tokens;
        state.spent.seconds = session.before.seconds + session.started.elapsed().as_secs_f64();
        let step = state.spent.steps;
        let now = budget.progress(&state.spent, objective.epoch_tokens(), session.reserve);
        let validate = config.validate_every > 0 && step.is_multiple_of(config.validate_every);
        if step == 1 || step.is_multiple_of(config.log_every) || validate || now >= 1.0 {
            let report = session.report(now, &state.spent, lr);
            let mut line = line(&report, done.norm, &done.figures);
            if validate {
                let figures = held_out(objective, &model, &mut state)?;
                line.extend(figures.into_iter().map(|(k, v)| (k, json!(v))));
            }
            metrics.write(line)?;
            (context.progress)(&report);
        }
        let interrupted = context.cancel.load(Ordering::Relaxed);
        if interrupted || session.last_save.elapsed().as_secs_f64() >= config.save_every_seconds {
            let began = Instant::now();
            let plain = model.clone().to_device(context.device);
            state::save(context.run, &state, &plain, &optimiser, config.keep)?;
            session.last_save = Instant::now();
            session.reserve = session.reserve.max(began.elapsed());
        }
        if interrupted {
            return Err(TrainError::Interrupted { step });
        }
    }
    finish(objective, model, state, session.loss, context)
}

/// What changes while a process works on a run.
struct Session {
    schedule: Schedule,
    started: Instant,
    before: Spent,
    last_save: Instant,
    /// How long the last save takes, for the clock's budget.
    reserve: Duration,
    loss: f64,
}

impl Session {
    fn report(&self, progress: f64, spent: &Spent, lr: f64) -> Report {
        let tokens = (spent.tokens - self.before.tokens) as f64;
        let tokens_per_second = tokens / self.started.elapsed().as_secs_f64().max(1e-9);
        Report { progress, spent: *spent, loss: self.loss, lr, tokens_per_second }
    }
}

fn line(report: &Report, norm: f64, figures: &BTreeMap<String, f64>) -> Map<String, Value> {
    let mut line = Map::new();
    let spent = &report.spent;
    for (name, value) in [
        ("step", json!(spent.steps)),
        ("tokens", json!(spent.tokens)),
        ("seconds", json!(spent.seconds)),
        ("progress", json!(report.progress)),
        ("loss", json!(report.loss)),
        ("lr", json!(report.lr)),
        ("grad_norm", json!(norm)),
        ("tokens_per_second", json!(report.tokens_per_second)),
    ] {
        line.insert(name.to_owned(), value);
    }
    line.extend(figures.iter().map(|(k, v)| (k.clone(), json!(v))));
    line
}

/// A step that was taken.
struct Done {
    loss: f64,
    norm: f64,
    tokens: u64,
    figures: BTreeMap<String, f64>,
}

fn optimise<O: Objective>(
    objective: &mut O,
    model: &mut Decoder,
    optimiser: &mut AdamW,
    config: &OptimiserConfig,
    lr: f64,
    state: &State,
    context: &RunContext<'_>,
) -> Result<Done, TrainError> {
    let step = state.spent.steps;
    let parts = objective.step(step);
    let weight: f64 = parts.iter().map(|p| objective.weight(p)).sum::<f64>().max(1.0);
    let mut sums = GradientSum::default();
    let mut done = Done { loss: 0.0, norm: 0.0, tokens: 0, figures: BTreeMap::new() };
    for part in &parts {
        let Loss { sum, figures } = objective.loss(model, part);
        let gradients = sum.backward();
        sums.add(model, &gradients);
        drop(gradients);
        done.loss += sum.into_data().iter::<f64>().sum::<f64>() / weight;
        for (name, value) in figures() {
            *done.figures.entry(name).or_default() += value / weight;
        }
        done.tokens += objective.tokens(part);
    }
    if !done.loss.is_finite() {
        let ids: Vec<_> = parts.iter().flat_map(|p| objective.ids(p)).collect();
        let path = context.run.join("broken-step.json");
        let text = json!({"step": step, "loss": done.loss.to_string(), "samples": ids}).to_string();
        slam_dataset::publish::write(&path, text.as_bytes())?;
        return Err(TrainError::NotFinite { step, loss: done.loss, path });
    }
    // The losses were summed: the mean's gradient is the sum's over the weight.
    done.norm = sums.norm() / weight;
    let clip = if config.clip > 0.0 { (config.clip / (done.norm + 1e-6)).min(1.0) } else { 1.0 };
    let arguments = AdamWStep {
        lr,
        beta1: config.beta1,
        beta2: config.beta2,
        eps: config.eps,
        weight_decay: config.weight_decay,
        step: step + 1,
        grad_scale: clip / weight,
    };
    optimiser.step(model, sums, &arguments);
    Ok(done)
}

fn held_out<O: Objective>(
    objective: &O,
    model: &Decoder,
    state: &mut State,
) -> Result<BTreeMap<String, f64>, TrainError> {
    let plain = model.clone().to_device(&model.device().inner());
    let figures = objective.validate(&plain)?;
    if let Some(&loss) = figures.get("val_loss") {
        state.best_validation = Some(state.best_validation.map_or(loss, |best| best.min(loss)));
    }
    Ok(figures)
}

fn finish<O: Objective>(
    objective: &O,
    model: Decoder,
    mut state: State,
    loss: f64,
    context: &RunContext<'_>,
) -> Result<Summary, TrainError> {
    let validation = held_out(objective, &model, &mut state)?;
    let plain = model.to_device(context.device);
    state::publish_model(context.run, "final", &plain, objective.tokeniser())?;
    let summary = Summary {
        key: state.key,
        spent: state.spent,
        loss,
        validation,
        parameters: plain.num_parameters() as u64,
        was_done: false,
    };
    let text = serde_json::to_vec_pretty(&summary).unwrap_or_default();
    slam_dataset::publish::write(&context.run.join(SUMMARY), &text)?;
    Ok(summary)
}
