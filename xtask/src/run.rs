//! Carries out stages of a plan with an executor and checks what was quarantined.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::bail;
use slam_dataset::receipt::ShardState;
use slam_dataset::work::WorkList;
use slam_dataset::{Event, Receipt};
use slam_pipeline::StagePlan;
use slam_pipeline::executor::{Executor, Local};

use crate::exit::Failure;
use crate::interrupt;
use crate::progress::Progress;
use crate::worker::Programs;

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
    /// Which shards, or all.
    pub(crate) shards: Option<Vec<u32>>,
    /// Redo shards that are done.
    pub(crate) force: bool,
    /// The share of inputs that may be quarantined.
    pub(crate) max_bad_fraction: f64,
    /// Events as JSON lines.
    pub(crate) json: bool,
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
}

/// Makes the shards of a stage that are not there yet.
pub(crate) fn stage(plan: &StagePlan, settings: &Settings) -> anyhow::Result<Totals> {
    let chosen = |i: &usize| {
        let index = plan.units[*i].shard.index;
        settings.shards.as_ref().is_none_or(|s| s.contains(&index))
    };
    let pending: Vec<usize> = if settings.force {
        (0..plan.units.len()).filter(chosen).collect()
    } else {
        plan.pending(&settings.root).into_iter().filter(chosen).collect()
    };
    let name = format!("{} {}", plan.stage, plan.dataset);
    let started = Instant::now();
    if !pending.is_empty() {
        execute(&name, plan, settings, &pending)?;
    }
    let totals = count(plan, settings, &pending);
    check_quarantine(&name, plan, settings, &totals)?;
    if !pending.is_empty() && !settings.json {
        let hours = if totals.audio_seconds > 0.0 {
            format!(", {:.2} audio-hours", totals.audio_seconds / 3600.0)
        } else {
            String::new()
        };
        eprintln!(
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
    let mut progress = Progress::new(name, pending.len() as u64, settings.json);
    let mut done = 0.0;
    let report = executor.run(&list, pending, interrupt::flag(), &mut |event| {
        if settings.json {
            progress.event(&event);
        }
        if matches!(event, Event::Done { .. }) {
            done += 1.0;
            progress.set(done, pending.len() as f64, "shards", "");
        }
    });
    progress.close();
    if report.interrupted || interrupt::flag().load(Ordering::Relaxed) {
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

fn count(plan: &StagePlan, settings: &Settings, pending: &[usize]) -> Totals {
    let mut totals = Totals { made: pending.len(), ..Default::default() };
    for state in plan.states(&settings.root) {
        if let ShardState::Done(receipt) = state {
            totals.kept += 1;
            totals.rows += receipt.rows;
            totals.quarantined += receipt.quarantined;
            totals.audio_seconds += receipt.totals.get("audio_seconds").copied().unwrap_or(0.0);
        }
    }
    totals.kept -= totals.kept.min(totals.made);
    totals
}

fn check_quarantine(
    name: &str,
    plan: &StagePlan,
    settings: &Settings,
    totals: &Totals,
) -> anyhow::Result<()> {
    let inputs = totals.rows + totals.quarantined;
    let fraction = totals.quarantined as f64 / inputs.max(1) as f64;
    if totals.quarantined == 0 || fraction <= settings.max_bad_fraction {
        return Ok(());
    }
    let first: Vec<_> = plan
        .units
        .iter()
        .map(|u| settings.root.join(&u.output))
        .filter(|p| matches!(Receipt::read(p), Ok(Some(r)) if r.quarantined > 0))
        .take(3)
        .map(|p| Receipt::quarantine_path_of(&p).display().to_string())
        .collect();
    Err(Failure::Quarantined(format!(
        "{name}: {} of {inputs} inputs ({:.1} %) were left out, more than --max-bad-fraction {}; see {}",
        totals.quarantined,
        100.0 * fraction,
        settings.max_bad_fraction,
        first.join(", ")
    ))
    .into())
}

/// Whether a folder can be written to, before hours of work go into it.
pub(crate) fn check_root(root: &Path) -> anyhow::Result<()> {
    let probe = root.join(".plans").join("probe");
    slam_dataset::publish::write(&probe, b"")?;
    let _ = std::fs::remove_file(probe);
    Ok(())
}
