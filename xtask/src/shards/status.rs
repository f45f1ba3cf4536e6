//! `cargo xtask shards status`: a pipeline's shards that are done, missing or stale, and who made them.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use slam_dataset::receipt::ShardState;
use slam_dataset::{Receipt, WorkUnit};
use slam_pipeline::select::Choice;
use slam_pipeline::{Plan, StagePlan};

use super::Planned;
use crate::prepare_data::select;

/// Lines of shards that are not done, where not all are asked for.
const FIRST: usize = 5;

/// Prints a line for every stage, and lines for its shards.
pub(super) fn run(plan: &Plan, planned: &Planned, all: bool, root: &Path) -> anyhow::Result<()> {
    let choice = Choice { dataset: planned.dataset(), ..Choice::default() };
    let selection = select(plan, choice, root)?;
    for (stage, chosen) in plan.stages.iter().zip(&selection.chosen) {
        if chosen.is_empty() {
            continue;
        }
        let shards: Vec<_> = stage
            .states(root)
            .into_iter()
            .zip(&stage.units)
            .map(|(s, u)| Shard::of(s, u))
            .collect();
        if planned.common.json {
            for shard in &shards {
                println!("{}", shard.json(stage));
            }
        } else {
            print(stage, &shards, all);
        }
    }
    Ok(())
}

/// What is said of a shard.
struct Shard<'a> {
    unit: &'a WorkUnit,
    state: &'static str,
    why: String,
    /// The receipt of what is there, even where it is stale.
    receipt: Option<Box<Receipt>>,
}

const STATES: [&str; 4] = ["done", "missing", "stale", "broken"];

impl<'a> Shard<'a> {
    fn of(state: ShardState, unit: &'a WorkUnit) -> Self {
        let (state, why, receipt) = match state {
            ShardState::Done(receipt) => (STATES[0], String::new(), Some(receipt)),
            ShardState::Missing => (STATES[1], String::new(), None),
            ShardState::Stale(receipt) => (STATES[2], receipt.why_stale(unit), Some(receipt)),
            ShardState::Broken(why) => (STATES[3], why, None),
        };
        Self { unit, state, why, receipt }
    }

    fn line(&self) -> String {
        let mut line = format!("  {} {}", self.unit.output.display(), self.state);
        if !self.why.is_empty() {
            line = format!("{line}: {}", self.why);
        }
        match &self.receipt {
            Some(receipt) => format!("{line}; {}", maker(receipt)),
            None => line,
        }
    }

    fn json(&self, stage: &StagePlan) -> Value {
        let receipt = self.receipt.as_deref();
        json!({
            "dataset": stage.dataset,
            "stage": stage.stage,
            "shard": self.unit.output,
            "state": self.state,
            "why": self.why,
            "key": self.unit.key,
            "receipt": receipt,
        })
    }
}

/// Who made a shard, with what, and when.
fn maker(receipt: &Receipt) -> String {
    let tools: Vec<_> = receipt.tools.iter().map(|(name, v)| format!("{name} {v}")).collect();
    let host = if receipt.host.is_empty() { "an unknown host" } else { &receipt.host };
    format!(
        "made by {host} with {} on {} in {:.1} s, {}",
        tools.join(", "),
        receipt.device,
        receipt.seconds,
        time(receipt.finished_at)
    )
}

fn time(seconds: u64) -> String {
    if seconds == 0 {
        return "nobody noted when".to_owned();
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn print(stage: &StagePlan, shards: &[Shard<'_>], all: bool) {
    let counts: Vec<_> = STATES
        .iter()
        .map(|state| format!("{} {state}", shards.iter().filter(|s| s.state == *state).count()))
        .collect();
    // Who made what is done, in short: the makers, and when the last one was finished.
    let done: Vec<_> = shards.iter().filter(|s| s.state == "done").collect();
    let receipts = || done.iter().filter_map(|s| s.receipt.as_deref());
    let mut makers: Vec<_> = receipts()
        .map(|r| {
            let tools: Vec<_> = r.tools.iter().map(|(name, v)| format!("{name} {v}")).collect();
            format!("{} ({}, {})", r.host, tools.join(", "), r.device)
        })
        .collect();
    makers.sort();
    makers.dedup();
    let made = match receipts().map(|r| r.finished_at).max() {
        Some(last) => format!("; made by {}, the last at {}", makers.join(", "), time(last)),
        None => String::new(),
    };
    println!("{} {}: {}{made}", stage.dataset, stage.stage, counts.join(", "));
    let lines: Vec<_> = shards.iter().filter(|s| all || s.state != "done").collect();
    let shown = if all { lines.len() } else { lines.len().min(FIRST) };
    lines[..shown].iter().for_each(|s| println!("{}", s.line()));
    if shown < lines.len() {
        println!("  and {} more; --all shows every shard", lines.len() - shown);
    }
}
