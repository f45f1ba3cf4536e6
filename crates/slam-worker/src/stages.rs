//! Units of work: reads the work list, gives each unit to the stage that owns it, says what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use slam_dataset::Context;
use slam_dataset::store::{Store, StoreError};
use slam_dataset::work::{self, Progress, WorkError};
use slam_recipe::device::DeviceSpec;
use slam_recipe::work::WorkList;
use slam_recipe::{Event, Receipt, Work, WorkUnit, indices, with_causes};

use crate::device;
use crate::exit::{Interrupted, Told};

/// Carries out the units at `indices` of a work list, one after the other. With a store, `root` is its mirror: the
/// unit's inputs are pulled, its shard is pushed.
pub(crate) fn run(
    plan: &Path,
    indices: &str,
    root: &Path,
    device: DeviceSpec,
    store: Option<&str>,
) -> anyhow::Result<()> {
    let list = WorkList::read(plan)?;
    let store = store.map(Store::open).transpose()?;
    for index in indices::parse(indices)? {
        let index = index as usize;
        let Some(unit) = list.units.get(index) else {
            bail!("{} has {} units; there is no unit {index}", plan.display(), list.units.len());
        };
        let task = format!("{} {}", unit.stage(), unit.output.display());
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
            cancel: slam_interrupt::flag(),
            progress: &progress,
            device: device::of(unit, device),
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
        stage: unit.stage(),
        output: unit.output.clone(),
        message: with_causes(error),
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
    let version = unit.stage().version();
    if unit.version != version {
        return Err(WorkError::Stage {
            stage: unit.stage(),
            output: unit.output.clone(),
            message: format!(
                "the plan asks for version {}, this worker has {version}; build both from one source",
                unit.version
            ),
        });
    }
    match &unit.work {
        Work::Ingest(params) => {
            work::execute(unit, context, |out| slam_corpus::ingest(params, unit, context, out))
        }
        Work::FitKmeans(params) => {
            work::execute(unit, context, |out| slam_units::fit_kmeans(params, unit, context, out))
        }
        Work::Unitise(params) => {
            work::execute(unit, context, |out| slam_units::unitise(params, unit, context, out))
        }
        Work::ImportUnits(params) => work::execute(unit, context, |out| {
            slam_units::import::import(params, unit, context, out)
        }),
        Work::Pair(params) => work::execute(unit, context, |out| {
            slam_preference::pair(params, unit, context, out, &|checkpoint, info, sampling| {
                crate::sampler::open(checkpoint, info, sampling, context.device)
            })
        }),
        Work::Benchmark(params) => {
            work::execute(unit, context, |out| slam_eval::benchmark(params, unit, context, out))
        }
    }
}

pub(crate) fn tools() -> BTreeMap<String, String> {
    BTreeMap::from([("slam".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
}
