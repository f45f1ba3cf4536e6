//! `shards status`: a pipeline's shards that are done, missing or stale, and who made them.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use slam_recipe::lock::{LockedStage, Prepared, Shard};
use slam_recipe::receipt::{Planned, ShardState};
use slam_recipe::{Receipt, Stage};

/// Lines of shards that are not done, where not all are asked for.
const FIRST: usize = 5;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line a stage, and lines for shards that are not done.
    Summary,
    /// A line for every shard too.
    EveryShard,
    /// A JSON object a shard.
    Json,
}

/// Prints a line for every stage, and lines for its shards.
pub(super) fn run(data: &Prepared, form: Form, root: &Path) {
    for dataset in &data.datasets {
        let name = &dataset.dataset.name;
        for stage in &dataset.stages {
            let shards: Vec<_> =
                stage.shards.iter().map(|s| Found::new(stage.stage, s, s.state(root))).collect();
            if form == Form::Json {
                for shard in &shards {
                    crate::out::say!("{}", shard.json(name));
                }
            } else {
                print(name, stage, &shards, form);
            }
        }
    }
}

/// What is said of a shard.
struct Found<'a> {
    stage: Stage,
    shard: &'a Shard,
    state: &'static str,
    why: String,
    /// The receipt of what is there, even where it is stale.
    receipt: Option<Box<Receipt>>,
}

const STATES: [&str; 4] = ["done", "missing", "stale", "broken"];

impl<'a> Found<'a> {
    fn new(stage: Stage, shard: &'a Shard, state: ShardState) -> Self {
        let Shard { version, params, inputs, .. } = shard;
        let planned = Planned { stage, version: *version, params, inputs };
        let (state, why, receipt) = match state {
            ShardState::Done(receipt) => (STATES[0], String::new(), Some(receipt)),
            ShardState::Missing => (STATES[1], String::new(), None),
            ShardState::Stale(receipt) => (STATES[2], receipt.why_stale(&planned), Some(receipt)),
            ShardState::Broken(why) => (STATES[3], why, None),
        };
        Self { stage, shard, state, why, receipt }
    }

    fn line(&self) -> String {
        let mut line = format!("  {} {}", self.shard.output.display(), self.state);
        if !self.why.is_empty() {
            line = format!("{line}: {}", self.why);
        }
        match &self.receipt {
            Some(receipt) => format!("{line}; {}", maker(receipt)),
            None => line,
        }
    }

    fn json(&self, dataset: &str) -> Value {
        let receipt = self.receipt.as_deref();
        json!({
            "dataset": dataset,
            "stage": self.stage,
            "shard": self.shard.output,
            "state": self.state,
            "why": self.why,
            "key": self.shard.key,
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

fn print(dataset: &str, stage: &LockedStage, shards: &[Found<'_>], form: Form) {
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
    crate::out::say!("{dataset} {}: {}{made}", stage.stage, counts.join(", "));
    let all = form == Form::EveryShard;
    let lines: Vec<_> = shards.iter().filter(|s| all || s.state != "done").collect();
    let shown = if all { lines.len() } else { lines.len().min(FIRST) };
    lines[..shown].iter().for_each(|s| crate::out::say!("{}", s.line()));
    if shown < lines.len() {
        crate::out::say!("  and {} more; --all shows every shard", lines.len() - shown);
    }
}
