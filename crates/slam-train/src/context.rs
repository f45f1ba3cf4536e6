//! The surroundings of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use slam_lm::Decoder;

use crate::report::Update;

/// Whether a run trains or only says what it would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// To the end of the budget.
    #[default]
    Train,
    /// Until the first steps are measured; then the plan is told and nothing is kept.
    Plan,
}

/// The surroundings of a run; nothing in here changes its result.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// The run's folder.
    pub run: &'a Path,
    /// The device, outside autodiff. It holds the weights, the optimiser's state and the checkpoints.
    pub device: &'a Device,
    /// More devices that take their share of every step: each gets a copy of the weights, and the gradients
    /// are summed on `device`. The result differs from one device's by rounding alone.
    pub others: &'a [Device],
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
    /// When the stage began: what it takes to read data counts towards a budget in seconds.
    pub started: Instant,
    /// Whether to train or only to plan.
    pub mode: Mode,
    /// Where news go.
    pub tell: &'a dyn Fn(&Update),
    /// More figures of the model at each validation, for the metrics. It runs on the model as it computes.
    pub probe: Option<Probe<'a>>,
}

/// Figures of a model by name, or what kept them from being had: a probe never ends a run.
pub type Probe<'a> = &'a dyn Fn(&Decoder) -> Result<BTreeMap<String, f64>, ProbeError>;

/// What kept a probe from its figures: whatever whoever gives the probe meets.
pub type ProbeError = Box<dyn std::error::Error>;

impl<'a> RunContext<'a> {
    /// The surroundings of a run that begins now.
    pub fn new(
        run: &'a Path,
        device: &'a Device,
        cancel: &'a AtomicBool,
        tell: &'a dyn Fn(&Update),
    ) -> Self {
        let (started, mode) = (Instant::now(), Mode::Train);
        Self { run, device, others: &[], cancel, started, mode, tell, probe: None }
    }

    /// How many of a step's `all` rows are computed at once: `micro` (0 for all), and no more than a device's
    /// share.
    pub(crate) fn part_of(&self, all: usize, micro: usize) -> usize {
        let share = all.div_ceil(1 + self.others.len());
        if micro == 0 { share } else { micro.min(share) }
    }
}
