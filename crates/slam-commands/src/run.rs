//! Carries out stages of a plan with an executor and checks what was quarantined.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::bail;
use slam_executor::{Executor, Local};
use slam_pipeline::{Plan, Selection, StagePlan};
use slam_recipe::receipt::ShardState;
use slam_recipe::work::{Quarantined, WorkList};
use slam_recipe::{Event, Receipt, publish};

use crate::door::hint;
use crate::exit::Failure;
use crate::programs::Programs;
use crate::progress::{Events, Progress};

/// How to carry out stages.
pub(crate) struct Settings {
    /// The data root.
    pub(crate) root: PathBuf,
    /// The worker and what it needs.
    pub(crate) programs: Programs,
    /// Arguments passed to each worker.
    pub(crate) arguments: Vec<String>,
    /// Worker processes at once.
    pub(crate) jobs: usize,
    /// The share of inputs that may be quarantined.
    pub(crate) max_bad_fraction: f64,
    /// How the workers' events are shown.
    pub(crate) events: Events,
}

/// What a stage's shards hold in all.
#[derive(Default)]
pub(crate) struct Totals {
    /// Shards made now.
    pub(crate) made: usize,
    /// Shards that were there.
    pub(crate) kept: usize,
    rows: u64,
    quarantined: u64,
    audio_seconds: f64,
    /// The first few inputs that were left out.
    first: Vec<Quarantined>,
}

/// Inputs that a message names of those that were left out.
const NAMED: usize = 5;

/// Makes the shards of a stage that are not there yet.
pub(crate) fn stage(plan: &StagePlan, settings: &Settings) -> anyhow::Result<Totals> {
    first_of_stage(plan, plan.units.len(), settings)
}

/// Makes those of a stage's first `count` shards that are not there yet.
pub(crate) fn first_of_stage(
    plan: &StagePlan,
    count: usize,
    settings: &Settings,
) -> anyhow::Result<Totals> {
    let chosen: Vec<usize> = (0..plan.units.len().min(count)).collect();
    units(plan, &chosen, Redo::Undone, settings)
}

/// Which of the chosen shards are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redo {
    /// Those that are not done.
    Undone,
    /// All of them.
    All,
}

/// Makes chosen shards of a selection, stage by stage, after what they need.
pub(crate) fn selection(
    plan: &Plan,
    selection: &Selection,
    redo: Redo,
    settings: &Settings,
) -> anyhow::Result<Totals> {
    let needed: usize = selection.needed.iter().map(Vec::len).sum();
    if needed > 0 && settings.events == Events::Shown {
        crate::out::note!("{needed} more shards are needed as inputs and made first");
    }
    let mut sum = Totals::default();
    for (i, stage) in plan.stages.iter().enumerate() {
        for (chosen, redo) in [(&selection.needed[i], Redo::Undone), (&selection.chosen[i], redo)] {
            if !chosen.is_empty() {
                let totals = units(stage, chosen, redo, settings)?;
                sum.made += totals.made;
                sum.kept += totals.kept;
            }
        }
    }
    Ok(sum)
}

/// Makes chosen shards of a stage.
fn units(
    plan: &StagePlan,
    chosen: &[usize],
    redo: Redo,
    settings: &Settings,
) -> anyhow::Result<Totals> {
    let undone: BTreeSet<usize> = plan.pending(&settings.root).into_iter().collect();
    let pending: Vec<usize> =
        chosen.iter().copied().filter(|i| redo == Redo::All || undone.contains(i)).collect();
    let name = format!("{} {}", plan.stage, plan.dataset);
    let started = Instant::now();
    if !pending.is_empty() {
        execute(&name, plan, settings, &pending)?;
    }
    let totals = count(plan, settings, chosen, pending.len());
    check_quarantine(&name, plan, settings, &totals)?;
    if !pending.is_empty() && settings.events == Events::Shown {
        let hours = if totals.audio_seconds > 0.0 {
            format!(", {:.2} audio-hours", totals.audio_seconds / 3600.0)
        } else {
            String::new()
        };
        crate::out::note!(
            "{name:26} {} shards made, {} kept, {} rows{hours}{} ({:.1} s)",
            totals.made,
            totals.kept,
            totals.rows,
            if totals.quarantined > 0 {
                format!(", {} inputs quarantined", totals.quarantined)
            } else {
                String::new()
            },
            started.elapsed().as_secs_f64()
        );
    }
    Ok(totals)
}

fn execute(
    name: &str,
    plan: &StagePlan,
    settings: &Settings,
    pending: &[usize],
) -> anyhow::Result<()> {
    let list = settings.root.join(".plans").join(format!("{}-{}.json", plan.dataset, plan.stage));
    WorkList { units: plan.units.clone() }.write(&list)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = settings.jobs.clamp(1, pending.len());
    let executor = Local {
        worker: settings.programs.slam.clone(),
        environment: settings.programs.environment(),
        root: settings.root.clone(),
        arguments: settings.arguments.clone(),
        jobs,
        threads: (cores / jobs).max(1),
        tries: 2,
    };
    let mut progress = Progress::new(name, pending.len() as u64, settings.events);
    let (mut done, mut so_far) = (0.0, Totals::default());
    let mut stopped = false;
    // Audio-hours of the shards that are being made.
    let (mut making, started) = (BTreeMap::new(), Instant::now());
    let report = executor.run(&list, pending, slam_interrupt::flag(), &mut |event| {
        if settings.events == Events::JsonLines {
            progress.event(&event);
        }
        let finished = match event {
            Event::Progress { task, done, unit, .. } if unit == "audio-hours" => {
                making.insert(task, done);
                false
            }
            Event::Done { index, receipt } => {
                let unit = &plan.units[index];
                making.remove(&format!("{} {}", unit.stage(), unit.output.display()));
                done += 1.0;
                so_far.add(&receipt);
                true
            }
            _ => return ControlFlow::Continue(()),
        };
        let hours = so_far.audio_seconds / 3600.0 + making.values().sum::<f64>();
        let speed = if hours > 0.0 {
            let a_second = hours / started.elapsed().as_secs_f64();
            format!("{hours:.2} audio-hours, {a_second:.4} a second")
        } else {
            String::new()
        };
        progress.set(done, pending.len() as f64, "shards", &speed);
        if !finished {
            return ControlFlow::Continue(());
        }
        // A run that is mostly broken is not carried on for days before it says so.
        stopped |= so_far.too_bad(done / pending.len() as f64, settings.max_bad_fraction);
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.close();
    // What killed processes of earlier runs left half written; some of them died only now.
    let folders = plan.units.iter().filter_map(|u| u.output.parent());
    let folders: BTreeSet<_> = folders.map(|f| settings.root.join(f)).collect();
    for folder in &folders {
        publish::sweep(folder);
    }
    if stopped && done < pending.len() as f64 {
        crate::out::note!("{name}: stopped after {done} of {} shards", pending.len());
        check_quarantine(name, plan, settings, &so_far)?;
    }
    if report.interrupted || slam_interrupt::flag().load(Ordering::Relaxed) {
        return Err(Failure::Interrupted(format!(
            "interrupted during {name}; finished shards are kept, run the same command again to go on"
        ))
        .into());
    }
    let Some(first) = report.failures.first() else { return Ok(()) };
    let unit = &plan.units[first.index];
    bail!(
        "{} of {} shards of {name} failed; the first, {}: {}",
        report.failures.len(),
        pending.len(),
        unit.output.display(),
        first.message
    );
}

fn count(plan: &StagePlan, settings: &Settings, chosen: &[usize], made: usize) -> Totals {
    let mut totals = Totals { made, kept: chosen.len() - made, ..Default::default() };
    for state in plan.states(&settings.root) {
        if let ShardState::Done(receipt) = state {
            totals.add(&receipt);
        }
    }
    totals
}

impl Totals {
    fn add(&mut self, receipt: &Receipt) {
        self.rows += receipt.rows;
        self.quarantined += receipt.quarantined;
        self.audio_seconds += receipt.totals.get("audio_seconds").copied().unwrap_or(0.0);
        let room = NAMED.saturating_sub(self.first.len());
        self.first.extend(receipt.first_quarantined.iter().take(room).cloned());
    }

    /// Whether more than a share of the inputs was left out, even if all of the shards that are still to come,
    /// as large as those that are there, were without fault.
    fn too_bad(&self, share_done: f64, limit: f64) -> bool {
        let inputs = (self.rows + self.quarantined) as f64 / share_done;
        self.quarantined > 0 && self.quarantined as f64 > limit * inputs
    }
}

fn check_quarantine(
    name: &str,
    plan: &StagePlan,
    settings: &Settings,
    totals: &Totals,
) -> anyhow::Result<()> {
    if !totals.too_bad(1.0, settings.max_bad_fraction) {
        return Ok(());
    }
    let inputs = totals.rows + totals.quarantined;
    let first: Vec<_> = totals.first.iter().map(|q| format!("{}: {}", q.source, q.error)).collect();
    Err(Failure::Quarantined(format!(
        "{name}: {} of {inputs} inputs ({:.1} %) were left out, more than --max-bad-fraction {}; the first: {}; \
         all are in the quarantine table: {} {} --quarantine --data {}",
        totals.quarantined,
        100.0 * totals.quarantined as f64 / inputs as f64,
        settings.max_bad_fraction,
        first.join("; "),
        hint("shards show"),
        plan.dataset,
        settings.root.display()
    ))
    .into())
}

/// Whether a folder can be written to, before hours of work go into it.
pub(crate) fn check_root(root: &Path) -> anyhow::Result<()> {
    let probe = root.join(".plans").join("probe");
    publish::write(&probe, b"")?;
    let _ = std::fs::remove_file(probe);
    Ok(())
}
