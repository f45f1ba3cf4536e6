//! The clock of a run in one process: how fast it is, what is due, when it ends.

use std::time::Instant;

use slam_lm::Decoder;

use crate::budget::{Budget, Course, Pace, Spent, Stand};
use crate::config::Width;
use crate::context::RunContext;
use crate::ending::Ending;
use crate::job::Job;
use crate::plan::{self, Plan};
use crate::report::Report;
use crate::state::State;

/// Measured steps before the first plan; the first step of a process compiles kernels and is not measured.
const CALIBRATION_STEPS: u32 = 5;
/// Seconds that must be measured before the first plan, where a step is short …
const CALIBRATION_SECONDS: f64 = 2.0;
/// … and that end calibration where a step is long.
const LONGEST_CALIBRATION: f64 = 120.0;
/// The share of a budget in seconds that calibration may take at most.
const CALIBRATION_SHARE: f64 = 0.1;
/// Weight of a new step in the running pace.
const MIX: f64 = 0.2;
/// Seconds between reports.
const REPORT_SECONDS: f64 = 1.0;
/// Seconds between looks at the plan.
const PLAN_SECONDS: f64 = 60.0;
/// Seconds between notes of the time that is used.
const CLOCK_SECONDS: f64 = 5.0;
/// Seconds that must be left for a trial of the last validation and save.
const LEAST_FOR_TRIAL: f64 = 10.0;

/// What changes while a process works on a run.
pub(crate) struct Session {
    budget: Budget,
    epoch_tokens: u64,
    parameters: u64,
    /// Operations a second at which the devices multiply matrices, all taken as fast as the first.
    peak: f64,
    started: Instant,
    before: Spent,
    ending: Ending,
    pace: Pace,
    /// Steps since the process began, the first one among them.
    steps: u32,
    /// Seconds and tokens of the steps that are measured.
    measured: (f64, u64),
    last_tokens: f64,
    last_save: Instant,
    last_report: Option<Instant>,
    last_clock: Instant,
    last_plan: Option<(Instant, Plan)>,
}

impl Session {
    pub(crate) fn new(
        job: &Job<'_>,
        context: &RunContext<'_>,
        state: &State,
        epoch_tokens: u64,
        model: &Decoder,
    ) -> Self {
        let now = Instant::now();
        Self {
            budget: job.budget,
            epoch_tokens,
            parameters: model.num_parameters() as u64,
            peak: plan::matmul_rate(context.device, job.optimiser.precision.dtype())
                * (1 + context.others.len()) as f64,
            started: context.started,
            before: state.spent,
            ending: state.reserve,
            pace: Pace { reserve: state.reserve.reserve(), step: 0.0 },
            steps: 0,
            measured: (0.0, 0),
            last_tokens: 0.0,
            last_save: now,
            last_report: None,
            last_clock: now,
            last_plan: None,
        }
    }

    /// Seconds of the run, over all sessions.
    pub(crate) fn seconds(&self) -> f64 {
        self.before.seconds + self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    pub(crate) fn stand(&self, spent: &Spent) -> Stand {
        // Between two steps the clock may have gone on, with a validation or a save.
        let spent = Spent { seconds: self.seconds(), ..*spent };
        self.budget.stand(&spent, self.epoch_tokens, &self.pace)
    }

    /// Takes in what a step took.
    pub(crate) fn step_took(&mut self, seconds: f64, tokens: u64) {
        self.steps += 1;
        // The first step's time stands in until the second is measured.
        self.pace.step = match self.steps {
            1 | 2 => seconds,
            _ => self.pace.step + MIX * (seconds - self.pace.step),
        };
        self.last_tokens = match self.steps {
            1 => tokens as f64,
            _ => self.last_tokens + MIX * (tokens as f64 - self.last_tokens),
        };
        if self.steps > 1 {
            self.measured.0 += seconds;
            self.measured.1 += tokens;
        }
    }

    /// Takes in what a validation took.
    pub(crate) fn validated(&mut self, seconds: f64) {
        self.ending.validation = seconds;
        self.pace.reserve = self.ending.reserve();
    }

    pub(crate) fn report_is_due(&mut self) -> bool {
        due(&mut self.last_report, REPORT_SECONDS)
    }

    pub(crate) fn clock_is_due(&mut self) -> bool {
        let is_due = self.last_clock.elapsed().as_secs_f64() >= CLOCK_SECONDS;
        if is_due {
            self.last_clock = Instant::now();
        }
        is_due
    }

    pub(crate) fn save_is_due(&self, every: f64) -> bool {
        self.last_save.elapsed().as_secs_f64() >= every
    }

    /// Takes in what a save took.
    pub(crate) fn saved(&mut self, seconds: f64) {
        self.last_save = Instant::now();
        self.ending.save = seconds;
        self.pace.reserve = self.ending.reserve();
    }

    /// A plan, where calibration has just ended or the last plan does not hold any more.
    pub(crate) fn plan_is_due(&mut self, spent: &Spent) -> Option<Plan> {
        if self.last_plan.is_none() {
            let seconds = self.measured.0;
            let enough = self.steps > CALIBRATION_STEPS && seconds >= CALIBRATION_SECONDS;
            let limit = match self.budget {
                Budget::Seconds(total) => (CALIBRATION_SHARE * total).min(LONGEST_CALIBRATION),
                _ => LONGEST_CALIBRATION,
            };
            let late = self.steps > 1 && seconds >= limit;
            return (enough || late).then(|| self.plan(spent));
        }
        let (when, old) = self.last_plan.as_mut()?;
        if when.elapsed().as_secs_f64() < PLAN_SECONDS {
            return None;
        }
        *when = Instant::now();
        let old = old.clone();
        Some(self.plan(spent)).filter(|plan| plan.differs(&old))
    }

    /// What the run expects at its pace.
    pub(crate) fn plan(&self, spent: &Spent) -> Plan {
        let tokens = self.last_tokens;
        Plan::of(self.budget, spent, &self.pace, tokens, self.epoch_tokens, self.parameters)
    }

    pub(crate) fn planned(&mut self, plan: Plan) {
        self.last_plan = Some((Instant::now(), plan));
    }

    /// Whether a trial of the last validation and save is due, and fits: it is not for budgets of a few seconds.
    pub(crate) fn trial_is_due(&self, spent: &Spent) -> bool {
        let Ending { validation, save } = self.ending;
        let fits = match self.budget {
            Budget::Seconds(total) => total - spent.seconds > LEAST_FOR_TRIAL,
            _ => true,
        };
        fits && (validation == 0.0 || save == 0.0)
    }

    pub(crate) fn report(&self, state: &State, lr: f64) -> Report {
        let spent = Spent { seconds: self.seconds(), ..state.spent };
        let progress = self.budget.progress(&spent, self.epoch_tokens, &self.pace);
        // Before a step is measured, all there is counts.
        let (seconds, tokens) = if self.measured.1 > 0 {
            self.measured
        } else {
            (self.pace.step, spent.tokens - self.before.tokens)
        };
        let tokens_per_second = tokens as f64 / seconds.max(1e-9);
        let seconds_left = match self.budget {
            Budget::Seconds(total) => Some(total - spent.seconds),
            _ if self.steps > 1 => Some(self.plan(&spent).seconds - spent.seconds),
            _ => None,
        };
        Report {
            progress,
            spent,
            seconds_left: seconds_left.map(|s| s.max(0.0)),
            loss: state.loss.unwrap_or(f64::NAN),
            validation_loss: state.validation_loss,
            lr,
            tokens_per_second,
            peak_share: 6.0 * self.parameters as f64 * tokens_per_second / self.peak.max(1.0),
        }
    }
}

fn due(last: &mut Option<Instant>, every: f64) -> bool {
    let is_due = last.is_none_or(|t| t.elapsed().as_secs_f64() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
