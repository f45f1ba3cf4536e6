//! Carries out units of work, so that each shard is published whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use slam_recipe::device::DeviceSpec;
use slam_recipe::publish::{self, PublishError, Staged};
use slam_recipe::work::{Input, Quarantined};
use slam_recipe::{Key, Receipt, Stage, WorkUnit, with_causes};

/// What a stage reports while it works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// How much is done.
    pub done: f64,
    /// Of how much; 0 where unknown.
    pub total: f64,
    /// What is counted, e.g. `rows`, `steps`.
    pub unit: &'static str,
}

/// The surroundings of a unit of work; nothing in here changes a result's bytes.
pub struct Context<'a> {
    /// The data root that relative paths are under.
    pub root: &'a Path,
    /// Set when the process was asked to stop.
    pub cancel: &'a AtomicBool,
    /// Where progress goes.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// The device that stages with tensors use.
    pub device: DeviceSpec,
    /// Programs and versions, for the receipt.
    pub tools: BTreeMap<String, String>,
}

impl Context<'_> {
    /// An input's file.
    pub fn path(&self, input: &Input) -> PathBuf {
        self.root.join(&input.path)
    }

    /// Whether to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// What a stage says of the shard it wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Rows written.
    pub rows: u64,
    /// Inputs left out.
    pub quarantined: Vec<Quarantined>,
    /// Figures for the receipt.
    pub totals: BTreeMap<String, f64>,
}

/// A unit of work that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The result could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The stage failed.
    #[error("stage '{stage}', {output}: {message}")]
    Stage {
        /// The stage.
        stage: Stage,
        /// The shard's file.
        output: PathBuf,
        /// The stage's own error with its causes.
        message: String,
    },
    /// A shard that the stage reads was made for other work before the stage ended.
    #[error(
        "stage '{stage}', {output}: its input {input} was replaced by work with other parameters; run the command \
         again, and only one pipeline at once on a data root"
    )]
    Replaced {
        /// The stage.
        stage: Stage,
        /// The shard's file.
        output: PathBuf,
        /// The input's file.
        input: PathBuf,
    },
    /// The process was asked to stop; nothing was published.
    #[error("interrupted")]
    Interrupted,
}

/// Inputs that a receipt names of those that were left out.
const NAMED: usize = 3;

/// Fails where a shard that a unit reads is not there as the unit's key has it. The caller holds the [`guard`]:
/// while another process publishes a shard again, the shard has no receipt for a moment.
fn check_inputs(unit: &WorkUnit, root: &Path) -> Result<(), WorkError> {
    let replaced = |input: &&Input| {
        // Sources are absolute, and have no receipts.
        let receipt = || Receipt::read(&root.join(&input.path));
        input.path.is_relative() && !matches!(receipt(), Ok(Some(r)) if r.key == input.key)
    };
    match unit.inputs.iter().find(replaced) {
        None => Ok(()),
        Some(input) => Err(WorkError::Replaced {
            stage: unit.stage(),
            output: unit.output.clone(),
            input: input.path.clone(),
        }),
    }
}

/// Lets one process at once publish under a root, so that a shard and its receipt come from the same one. File
/// systems without locks do without.
fn guard(root: &Path) -> Option<File> {
    let folder = root.join(".plans");
    fs::create_dir_all(&folder).ok()?;
    let file = File::create(folder.join("publish.guard")).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// Carries out one unit: runs the stage on a temporary file, publishes it, then its quarantine, then its
/// receipt. The caller has decided that the unit must be done.
///
/// # Errors
/// If the stage fails, the process is asked to stop, or the disk refuses. Nothing is published then.
pub fn execute<E: std::error::Error>(
    unit: &WorkUnit,
    context: &Context<'_>,
    stage: impl FnOnce(&Path) -> Result<Outcome, E>,
) -> Result<Receipt, WorkError> {
    let started = Instant::now();
    let target = context.root.join(&unit.output);
    {
        let _guard = guard(context.root);
        check_inputs(unit, context.root)?;
    }
    let staged = Staged::new(&target)?;
    let outcome = stage(staged.path()).map_err(|e| {
        if context.cancelled() {
            return WorkError::Interrupted;
        }
        WorkError::Stage {
            stage: unit.stage(),
            output: unit.output.clone(),
            message: with_causes(&e),
        }
    })?;
    if context.cancelled() {
        return Err(WorkError::Interrupted);
    }
    let describe = |e| PublishError::new(&target, e);
    let bytes = fs::metadata(staged.path()).map_err(describe)?.len();
    let blake3 = Key::of_file(staged.path()).map_err(describe)?;
    let _guard = guard(context.root);
    // Another command may have remade an input while the stage read it.
    check_inputs(unit, context.root)?;
    // The old receipt goes first: a shard is only ever described by a receipt younger than itself.
    for old in [Receipt::path_of(&target), Receipt::quarantine_path_of(&target)] {
        match fs::remove_file(&old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(PublishError::new(&old, e).into());
            }
            _ => {}
        }
    }
    staged.publish()?;
    if !outcome.quarantined.is_empty() {
        let path = Receipt::quarantine_path_of(&target);
        let staged = Staged::new(&path)?;
        crate::shard::write(staged.path(), &outcome.quarantined, &BTreeMap::new())
            .map_err(|e| PublishError::new(&path, io::Error::other(e)))?;
        staged.publish()?;
    }
    let receipt = Receipt {
        stage: unit.stage(),
        version: unit.version,
        shard: unit.shard,
        key: unit.key.clone(),
        file: target.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        rows: outcome.rows,
        bytes,
        blake3,
        quarantined: outcome.quarantined.len() as u64,
        first_quarantined: outcome.quarantined.into_iter().take(NAMED).collect(),
        params: Some(unit.params_digest()),
        inputs: Some(unit.inputs_digest()),
        totals: outcome.totals,
        device: context.device.to_string(),
        tools: context.tools.clone(),
        seconds: started.elapsed().as_secs_f64(),
        host: publish::host().to_owned(),
        finished_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
    };
    receipt.write(&target)?;
    Ok(receipt)
}
