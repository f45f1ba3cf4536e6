//! The training loop that pre-training and DPO share.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};
use slam_lm::Decoder;
use slam_nn::ops::AdamWStep;
use slam_nn::params::Parameters;

use crate::budget::{Budget, Course, Stand};
use crate::config::Optimised;
use crate::context::{Mode, RunContext};
use crate::error::TrainError;
use crate::gradients::{self, Devices, Done, computing};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::objective::Objective;
use crate::optimiser::AdamW;
use crate::plan::Plan;
use crate::prefetch::Prefetch;
use crate::report::{Ended, Report, SUMMARY, Summary, Update, finished};
use crate::session::Session;
use crate::state::{self, State};

/// Trains a model to the end of its budget, from its last checkpoint where there is one; or until its plan is
/// made, where that is all that is asked for.
pub(crate) fn train<O: Objective + Sync>(
    objective: &O,
    start: impl FnOnce() -> Result<Decoder, TrainError>,
    job: &Job<'_>,
    context: &RunContext<'_>,
) -> Result<Ended, TrainError> {
    let config = job.optimiser;
    config.check()?;
    job.budget.check()?;
    if let Some(summary) = finished(context.run, job.key) {
        return Ok(Ended::Trained(summary));
    }
    let saved = state::load(context, job.key)?;
    let (mut state, model, optimiser) = if let Some(saved) = saved {
        saved
    } else {
        state::set_aside(context)?;
        let model = start()?;
        let optimiser = AdamW::new(&model);
        (State::new(job, objective.tokeniser()), model, optimiser)
    };
    state.spent.seconds = state.spent.seconds.max(state::clock(context.run, job.key));
    let mut model = model.to_device(&config.autodiff(context.device));
    model.for_each_param_mut(&mut |_, p| p.make_leaf());
    let session = Session::new(job, context, &state, objective.epoch_tokens(), &model);
    let metrics = Metrics::open(context.run, state.spent.steps)?;
    let first = state.spent.steps;
    let mut run = Run {
        objective,
        job,
        context,
        state,
        model,
        optimiser,
        session,
        metrics,
        validation: None,
    };
    let plan = thread::scope(|scope| {
        let mut steps = Prefetch::start(scope, config.prefetch, || objective.steps(), first);
        run.work(&mut steps)
    })?;
    match (context.mode, plan) {
        (_, Some(plan)) => Ok(Ended::Planned(plan)),
        // The run is shorter than calibration.
        (Mode::Plan, None) => Ok(Ended::Planned(run.session.plan(&run.state.spent))),
        (Mode::Train, None) => run.finish().map(Ended::Trained),
    }
}

/// A run in this process.
struct Run<'a, 'c, O: Objective> {
    objective: &'a O,
    job: &'a Job<'a>,
    context: &'a RunContext<'c>,
    state: State,
    model: Decoder,
    optimiser: AdamW,
    session: Session,
    metrics: Metrics,
    /// Figures of held-out data behind the last step.
    validation: Option<BTreeMap<String, f64>>,
}

impl<O: Objective + Sync> Run<'_, '_, O> {
    /// Takes steps to the end of the budget, or to the plan where that is all that is asked for.
    fn work(&mut self, steps: &mut Prefetch<'_, O::Micro>) -> Result<Option<Plan>, TrainError> {
        let config = self.job.optimiser;
        let mut any = false;
        loop {
            let progress = match self.session.stand(&self.state.spent) {
                Stand::Go(progress) => progress,
                // What followed the last step took longer than was thought: one more, at the schedule's end.
                Stand::Over if any => 1.0,
                Stand::Over => return Ok(None),
            };
            any = true;
            let lr = config.schedule().lr(progress);
            let began = Instant::now();
            let parts = steps.next()?;
            let mut done = self.optimise(&parts, lr)?;
            drop(parts);
            let spent = &mut self.state.spent;
            spent.steps += 1;
            spent.tokens += done.tokens;
            let step = spent.steps;
            self.state.loss = Some(done.loss);
            self.session.step_took(began.elapsed().as_secs_f64(), done.tokens);
            self.state.spent.seconds = self.session.seconds();
            if let Some(mean) = self.state.spikes.observe(done.loss) {
                done.figures.insert("spike".into(), done.loss / mean);
                self.note(format!(
                    "loss spike at step {step}: {:.3} after a mean of {mean:.3}",
                    done.loss
                ));
            }
            // By the clock a run ends with a step at the schedule's end, also where slow ones came before it.
            let timed = matches!(self.job.budget, Budget::Seconds(_));
            let over =
                (!timed || progress >= 1.0) && self.session.stand(&self.state.spent) == Stand::Over;
            let plan = self.after(step, lr, over, &done)?;
            if over || plan.is_some() {
                return Ok(plan);
            }
        }
    }

    /// What may follow a step: a line, a validation, a checkpoint, the plan; or the end, where it is asked for.
    /// Returns the plan where that is all that is asked for.
    fn after(
        &mut self,
        step: u64,
        lr: f64,
        over: bool,
        done: &Done,
    ) -> Result<Option<Plan>, TrainError> {
        let config = self.job.optimiser;
        let validate =
            over || (config.validate_every > 0 && step.is_multiple_of(config.validate_every));
        let mut best = false;
        let notable = validate || done.figures.contains_key("spike");
        if step == 1 || step.is_multiple_of(config.log_every) || notable {
            let mut line = line(&self.session.report(&self.state, lr), done);
            if validate {
                let (figures, better) = self.held_out()?;
                best = better && !over;
                line.extend(figures.iter().map(|(k, v)| (k.clone(), json!(v))));
                self.validation = over.then_some(figures);
            }
            self.metrics.write(line)?;
        }
        if notable || self.session.report_is_due() {
            (self.context.tell)(&Update::Progress(self.session.report(&self.state, lr)));
        }
        if let Some(plan) = self.session.plan_is_due(&self.state.spent) {
            let plan = self.complete(plan)?;
            if self.context.mode == Mode::Plan {
                return Ok(Some(plan));
            }
            self.session.planned(plan.clone());
            (self.context.tell)(&Update::Plan(plan));
        }
        self.state.spent.seconds = self.session.seconds();
        let interrupted = self.context.cancel.load(Ordering::Relaxed);
        if self.context.mode == Mode::Train
            && (interrupted || best || self.session.save_is_due(config.save_every_seconds))
        {
            self.save()?;
        } else if self.session.clock_is_due() {
            state::write_clock(self.context.run, self.job.key, self.state.spent.seconds)?;
        }
        if interrupted { Err(TrainError::Interrupted { step }) } else { Ok(None) }
    }

    /// The first plan of a run is made complete by a trial of what comes at the end.
    fn complete(&mut self, plan: Plan) -> Result<Plan, TrainError> {
        let timed = matches!(self.job.budget, Budget::Seconds(_));
        // The trial must not eat the budget of a short run.
        if !(timed && self.session.trial_is_due(&self.state.spent)) {
            return Ok(plan);
        }
        self.held_out()?;
        if self.context.mode == Mode::Train {
            self.save()?;
        }
        self.state.spent.seconds = self.session.seconds();
        Ok(self.session.plan(&self.state.spent))
    }

    fn note(&self, text: String) {
        (self.context.tell)(&Update::Note(text));
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let plain = self.model.clone().to_device(self.context.device);
        let keep = self.job.optimiser.keep;
        self.state.reserve = self.session.ending();
        state::save(self.context.run, &self.state, &plain, &self.optimiser, keep)?;
        self.session.saved(began.elapsed().as_secs_f64());
        Ok(())
    }

    fn optimise(&mut self, parts: &[O::Micro], lr: f64) -> Result<Done, TrainError> {
        let config = self.job.optimiser;
        let weight: f64 = parts.iter().map(|p| self.objective.weight(p)).sum::<f64>().max(1.0);
        let devices = Devices { first: self.context.device, others: self.context.others };
        let (sums, mut done) =
            gradients::of_step(self.objective, &self.model, config, &devices, parts);
        done.loss /= weight;
        done.figures.values_mut().for_each(|sum| *sum /= weight);
        // The losses were summed: the mean's gradient is the sum's over the weight.
        done.norm = sums.norm() / weight;
        let step = self.state.spent.steps;
        if !(done.loss.is_finite() && done.norm.is_finite()) {
            return Err(self.broken(step, &done, parts));
        }
        let clip =
            if config.clip > 0.0 { (config.clip / (done.norm + 1e-6)).min(1.0) } else { 1.0 };
        let arguments = AdamWStep {
            lr,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
            step: step + 1,
            grad_scale: clip / weight,
        };
        self.optimiser.step(&mut self.model, sums, &arguments, config.decay);
        Ok(done)
    }

    /// Saves what a broken step was made of.
    fn broken(&self, step: u64, done: &Done, parts: &[O::Micro]) -> TrainError {
        let ids: Vec<_> = parts.iter().flat_map(|p| self.objective.ids(p)).collect();
        let path = self.context.run.join("broken-step.json");
        let (loss, norm) = (done.loss, done.norm);
        let text = json!({
            "step": step,
            "loss": loss.to_string(),
            "grad_norm": norm.to_string(),
            "samples": ids,
        });
        match slam_recipe::publish::write(&path, text.to_string().as_bytes()) {
            Ok(()) => TrainError::NotFinite { step, loss, norm, path },
            Err(e) => e.into(),
        }
    }

    /// Figures of held-out data, and whether the loss is the lowest so far.
    fn held_out(&mut self) -> Result<(BTreeMap<String, f64>, bool), TrainError> {
        let began = Instant::now();
        let plain = self.model.clone().to_device(self.context.device);
        let computing = computing(&plain, self.job.optimiser);
        let mut figures = self.objective.validate(&computing)?;
        if let Some(probe) = self.context.probe {
            match probe(&computing) {
                Ok(more) => figures.extend(more),
                Err(e) => self.note(format!("suites were not scored: {e}")),
            }
        }
        self.session.validated(began.elapsed().as_secs_f64());
        let mut better = false;
        if let Some(&loss) = figures.get("val_loss") {
            self.state.validation_loss = Some(loss);
            better = self.state.best_validation.is_none_or(|best| loss < best);
            if better {
                self.state.best_validation = Some(loss);
                self.state.best_step = Some(self.state.spent.steps);
            }
        }
        Ok((figures, better))
    }

    fn finish(mut self) -> Result<Summary, TrainError> {
        let validation = match self.validation.take() {
            Some(figures) => figures,
            // Stopped behind the last step, and gone on with.
            None => self.held_out()?.0,
        };
        let plain = self.model.to_device(self.context.device);
        let run = self.context.run;
        state::publish_model(run, "final", &plain, self.objective.tokeniser())?;
        self.state.spent.seconds = self.session.seconds();
        let summary = Summary {
            key: self.state.key,
            spent: self.state.spent,
            loss: self.state.loss.unwrap_or(f64::NAN),
            validation,
            parameters: plain.num_parameters() as u64,
            was_done: false,
        };
        let text = serde_json::to_vec_pretty(&summary).unwrap_or_default();
        slam_recipe::publish::write(&run.join(SUMMARY), &text)?;
        Ok(summary)
    }
}

fn line(report: &Report, done: &Done) -> Map<String, Value> {
    let mut line = Map::new();
    let spent = &report.spent;
    for (name, value) in [
        ("step", json!(spent.steps)),
        ("tokens", json!(spent.tokens)),
        ("seconds", json!(spent.seconds)),
        ("progress", json!(report.progress)),
        ("loss", json!(report.loss)),
        ("lr", json!(report.lr)),
        ("grad_norm", json!(done.norm)),
        ("tokens_per_second", json!(report.tokens_per_second)),
        ("peak_share", json!(report.peak_share)),
    ] {
        line.insert(name.to_owned(), value);
    }
    line.extend(done.figures.iter().map(|(k, v)| (k.clone(), json!(v))));
    line
}
