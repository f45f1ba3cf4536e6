//! Units of work: reads the work list, gives each unit to the stage that owns it, says what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use slam_dataset::store::{Store, StoreError};
use slam_dataset::work::{self, Progress, WorkError, WorkList};
use slam_dataset::{Context, Event, Receipt, WorkUnit, stage};

use crate::exit::{Interrupted, Told};
use crate::{device, signals};

/// Carries out the units at `indices` of a work list, one after the other. With a store, `root` is its mirror: the
/// unit's inputs are pulled, its shard is pushed.
pub(crate) fn run(
    plan: &Path,
    indices: &str,
    root: &Path,
    device: &str,
    store: Option<&str>,
) -> anyhow::Result<()> {
    let list = WorkList::read(plan)?;
    let store = store.map(Store::open).transpose()?;
    for index in parse_indices(indices)? {
        let Some(unit) = list.units.get(index) else {
            bail!("{} has {} units; there is no unit {index}", plan.display(), list.units.len());
        };
        let task = format!("{} {}", unit.stage, unit.output.display());
        let progress = |p: Progress| {
            Event::Progress {
                task: task.clone(),
                done: p.done,
                total: p.total,
                unit: p.unit.to_owned(),
                message: String::new(),
            }
            .print();
        };
        let context = Context {
            root,
            cancel: signals::flag(),
            progress: &progress,
            device: device::name_for(unit, device)?,
            tools: tools(),
        };
        let result = match &store {
            Some(store) => pull_inputs(unit, root, store)
                .and_then(|()| execute(unit, &context))
                .and_then(|receipt| {
                    store.push_shard(root, &unit.output).map_err(|e| refuse(unit, &e))?;
                    Ok(receipt)
                }),
            None => execute(unit, &context),
        };
        match result {
            Ok(receipt) => Event::Done { index, receipt: Box::new(receipt) }.print(),
            Err(WorkError::Interrupted) => return Err(Interrupted.into()),
            Err(e) => {
                Event::Failed { index, message: e.to_string() }.print();
                return Err(Told.into());
            }
        }
    }
    Ok(())
}

fn refuse(unit: &WorkUnit, error: &StoreError) -> WorkError {
    WorkError::Stage {
        stage: unit.stage.clone(),
        output: unit.output.clone(),
        message: work::with_causes(error),
    }
}

/// Inputs that are shards, as far as the mirror does not have them.
fn pull_inputs(unit: &WorkUnit, root: &Path, store: &Store) -> Result<(), WorkError> {
    for input in &unit.inputs {
        if input.path.is_relative() && !root.join(&input.path).is_file() {
            store.pull(root, &input.path).map_err(|e| refuse(unit, &e))?;
        }
    }
    Ok(())
}

/// Gives a unit to the stage that owns it.
pub(crate) fn execute(unit: &WorkUnit, context: &Context<'_>) -> Result<Receipt, WorkError> {
    let known = [stage::INGEST, stage::FIT_KMEANS, stage::UNITISE, stage::PAIR, stage::BENCHMARK]
        .into_iter()
        .find(|s| s.name == unit.stage);
    let refuse = |message: String| WorkError::Stage {
        stage: unit.stage.clone(),
        output: unit.output.clone(),
        message,
    };
    let Some(stage) = known else {
        return Err(refuse("this worker has no such stage; is it older than the plan?".into()));
    };
    if stage.version != unit.version {
        return Err(refuse(format!(
            "the plan asks for version {}, this worker has {}; build both from one source",
            unit.version, stage.version
        )));
    }
    match stage {
        stage::INGEST => {
            work::execute(unit, context, |out| slam_corpus::ingest(unit, context, out))
        }
        stage::FIT_KMEANS => {
            work::execute(unit, context, |out| slam_units::fit_kmeans(unit, context, out))
        }
        // Units that were made elsewhere: their tokeniser is named, its features are not known.
        stage::UNITISE if unit.params.get("features").is_none() => {
            work::execute(unit, context, |out| slam_units::import::import(unit, context, out))
        }
        stage::UNITISE => {
            work::execute(unit, context, |out| slam_units::unitise(unit, context, out))
        }
        stage::PAIR => work::execute(unit, context, |out| {
            slam_preference::pair(unit, context, out, &|checkpoint, info, sampling| {
                crate::sampler::open(checkpoint, info, sampling, &context.device)
            })
        }),
        _ => work::execute(unit, context, |out| slam_eval::benchmark(unit, context, out)),
    }
}

pub(crate) fn tools() -> BTreeMap<String, String> {
    BTreeMap::from([("slam".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
}

/// Positions of a list such as `3,17-20`.
fn parse_indices(text: &str) -> anyhow::Result<Vec<usize>> {
    let mut out = Vec::new();
    for part in text.split(',') {
        let number = |t: &str| {
            t.trim()
                .parse::<usize>()
                .with_context(|| format!("--index {text}: write numbers and ranges, e.g. 3,17-20"))
        };
        match part.split_once('-') {
            Some((first, last)) => out.extend(number(first)?..=number(last)?),
            None => out.push(number(part)?),
        }
    }
    Ok(out)
}
