//! Units of work: reads the work list, gives each unit to the stage that owns it, says what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use slam_dataset::work::{self, Progress, WorkError, WorkList};
use slam_dataset::{Context, Event, Receipt, WorkUnit, stage};

use crate::exit::{Interrupted, Told};
use crate::{device, signals};

/// Carries out the units at `indices` of a work list, one after the other.
pub(crate) fn run(plan: &Path, indices: &str, root: &Path, device: &str) -> anyhow::Result<()> {
    let list = WorkList::read(plan)?;
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
        match execute(unit, &context) {
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

fn execute(unit: &WorkUnit, context: &Context<'_>) -> Result<Receipt, WorkError> {
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
