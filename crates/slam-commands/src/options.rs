//! Options that several commands share.

use std::path::{Path, PathBuf};

use slam_recipe::device::Devices;
use slam_recipe::event::Outcome;
use slam_recipe::pipeline::Variant;
use slam_recipe::{Pipeline, PipelineChoice, Request};

use crate::exit::Failure;
use crate::programs::Programs;
use crate::progress::Events;
use crate::root::Root;
use crate::run;
use crate::shipped;
use crate::steps::{self, Runner};

/// Options that every command that makes shards shares.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Worker processes at once; 0 takes one a core
    #[arg(long, default_value_t = 0)]
    pub(crate) jobs: usize,
    /// auto, cpu, cuda[:n] or wgpu[:n]; training also takes a list, e.g. cuda:0,cuda:1, whose first device
    /// holds the weights and makes the scores
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    pub(crate) device: Devices,
    /// The share of inputs that may be left out
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    pub(crate) max_bad_fraction: f64,
    /// Change a field of the pipeline, e.g. train.params.optimiser.peak_lr=5e-4
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Events as JSON lines on stderr
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    /// How the workers' events are shown.
    pub(crate) fn events(&self) -> Events {
        if self.json { Events::JsonLines } else { Events::Shown }
    }

    /// Runs steps that keep their requests in a folder.
    pub(crate) fn runner(&self, worker: PathBuf, folder: &Path) -> Runner {
        Runner::new(worker, &self.device, folder, self.events())
    }

    /// Carries out one step.
    pub(crate) fn once(&self, name: &str, request: Request) -> anyhow::Result<Outcome> {
        let worker = Programs::worker_alone(&self.device)?.slam;
        steps::once(worker, &self.device, self.events(), name, request)
    }

    pub(crate) fn settings(&self, root: &Root, programs: Programs) -> run::Settings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = vec!["--device".into(), self.device.to_string()];
        arguments.extend(root.arguments());
        run::Settings {
            root: root.folder.clone(),
            programs,
            arguments,
            jobs: if self.jobs == 0 { cores } else { self.jobs },
            max_bad_fraction: self.max_bad_fraction,
            events: self.events(),
        }
    }
}

/// A share from 0 to 1.
fn share(text: &str) -> Result<f64, Failure> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(Failure::Usage("a share is a number from 0 to 1, e.g. 0.05 for 5 %".into())),
    }
}

/// Which pipeline.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PipelineName {
    /// The pipeline: a name of one that is shipped, or a file [default: demo]
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) pipeline: Option<String>,
    /// The pipeline's small variant
    #[arg(long)]
    pub(crate) quick: bool,
}

impl PipelineName {
    /// Reads the pipeline.
    pub(crate) fn read(&self, common: &Common) -> anyhow::Result<Pipeline> {
        shipped::pipeline(self.name(), self.variant(), &common.overrides)
    }

    /// The pipeline as it was named, with what was set.
    pub(crate) fn choice(&self, common: &Common) -> PipelineChoice {
        let overrides = common.overrides.clone();
        PipelineChoice { pipeline: self.name().to_owned(), variant: self.variant(), overrides }
    }

    /// Whether the user named one.
    pub(crate) fn is_given(&self) -> bool {
        self.pipeline.is_some() || self.quick
    }

    fn name(&self) -> &str {
        self.pipeline.as_deref().unwrap_or("demo")
    }

    fn variant(&self) -> Variant {
        if self.quick { Variant::Quick } else { Variant::Full }
    }
}
