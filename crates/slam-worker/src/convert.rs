//! Checkpoints and unit shards in the forms of other programs, out and in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use slam_dataset::{Context, Event, WorkUnit, publish, work};
use slam_lm::Decoder;
use slam_lm::checkpoint::{Format, TwistOptions};
use slam_nn::device::DeviceSpec;
use slam_units::slamkit::{self, Form};

use crate::{card, runs, signals};

/// What to convert.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
enum ConvertRequest {
    /// A checkpoint to another form.
    Checkpoint {
        checkpoint: PathBuf,
        out: PathBuf,
        /// `slamkit` or `hugging-face`.
        form: CheckpointForm,
        /// Tensors that may differ.
        #[serde(default)]
        allow: Vec<String>,
    },
    /// A text model to a unit model (TWIST).
    Twist {
        text_model: PathBuf,
        out: PathBuf,
        /// Units; `<PAD>` and `<S>` come on top.
        units: usize,
        rope_theta: Option<f64>,
        max_positions: Option<usize>,
        /// Whether the head is the embedding; as in the text model where absent.
        tie_embeddings: Option<bool>,
        /// Tensors that may differ.
        #[serde(default)]
        allow: Vec<String>,
        /// Seed of what the text model does not have.
        #[serde(default)]
        seed: u64,
    },
    /// Unit shards to slamkit's JSON lines.
    Units { shards: Vec<PathBuf>, form: Form, out: PathBuf },
    /// slamkit's JSON lines to a unit shard.
    Lines { unit: WorkUnit, root: PathBuf },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CheckpointForm {
    Slamkit,
    HuggingFace,
}

impl From<CheckpointForm> for Format {
    fn from(form: CheckpointForm) -> Self {
        match form {
            CheckpointForm::Slamkit => Self::Slamkit,
            CheckpointForm::HuggingFace => Self::HuggingFace,
        }
    }
}

/// Converts as a request file says.
pub(crate) fn run(request: &Path) -> anyhow::Result<()> {
    let device = DeviceSpec::Cpu.open()?;
    let text = match runs::read(request)? {
        ConvertRequest::Checkpoint { checkpoint, out, form, allow } => {
            let model = Decoder::load_allowing(&checkpoint, &allow, &device)
                .with_context(|| format!("checkpoint {}", checkpoint.display()))?;
            let card = card::of(&checkpoint);
            model.save(&out, form.into(), Some(&card))?;
            copy_tokeniser(&checkpoint, &out)?;
            format!("{} parameters in {}", model.num_parameters(), out.display())
        }
        ConvertRequest::Twist {
            text_model,
            out,
            units,
            rope_theta,
            max_positions,
            tie_embeddings,
            allow,
            seed,
        } => {
            let options = TwistOptions { rope_theta, max_positions, tie_embeddings, allow, seed };
            let vocabulary = units + slam_lm::FIRST_UNIT as usize;
            let model = Decoder::from_text_lm(&text_model, vocabulary, &options, &device)
                .with_context(|| format!("text model {}", text_model.display()))?;
            model.save(&out, Format::Slamkit, None)?;
            format!("{} parameters in {}", model.num_parameters(), out.display())
        }
        ConvertRequest::Units { shards, form, out } => {
            let staged = publish::Staged::new(&out)?;
            let rows = slamkit::export(&shards, form, staged.path())?;
            staged.publish()?;
            format!("{rows} rows in {}", out.display())
        }
        ConvertRequest::Lines { unit, root } => {
            let context = Context {
                root: &root,
                cancel: signals::flag(),
                progress: &|_| (),
                device: DeviceSpec::Cpu.to_string(),
                tools: crate::stages::tools(),
            };
            let receipt = work::execute(&unit, &context, |out| {
                slam_units::import::import(&unit, &context, out)
            })?;
            format!(
                "{} rows in {}, {} lines quarantined",
                receipt.rows,
                root.join(&unit.output).display(),
                receipt.quarantined
            )
        }
    };
    Event::Result { text }.print();
    Ok(())
}

/// The tokeniser's identity goes with the model.
fn copy_tokeniser(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(info) = slam_train::tokeniser_of_model(from)? {
        let text = serde_json::to_vec_pretty(&info)?;
        publish::write(&to.join("tokeniser.json"), &text)?;
    }
    Ok(())
}
