//! Checkpoints and unit shards in the forms of other programs, out and in.

use std::path::Path;

use anyhow::Context as _;
use slam_dataset::Context;
use slam_lm::Decoder;
use slam_lm::checkpoint::{Format, TwistOptions};
use slam_nn::device::{self, DeviceSpec};
use slam_recipe::event::Outcome;
use slam_recipe::publish;
use slam_recipe::request::{CheckpointForm, ConvertRequest};
use slam_units::slamkit;

use crate::card;

fn format(form: CheckpointForm) -> Format {
    match form {
        CheckpointForm::Slamkit => Format::Slamkit,
        CheckpointForm::HuggingFace => Format::HuggingFace,
    }
}

/// Converts.
pub(crate) fn run(request: ConvertRequest) -> anyhow::Result<Outcome> {
    let device = device::open(DeviceSpec::Cpu)?;
    let text = match request {
        ConvertRequest::Checkpoint { checkpoint, out, form, allow } => {
            let model = Decoder::load_allowing(&checkpoint, &allow, &device)
                .with_context(|| format!("checkpoint {}", checkpoint.display()))?;
            let card = card::new(&checkpoint);
            model.save(&out, format(form), Some(&card))?;
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
                cancel: slam_interrupt::flag(),
                progress: &|_| (),
                device: DeviceSpec::Cpu,
                tools: crate::stages::tools(),
            };
            let receipt = crate::stages::execute(&unit, &context)?;
            format!(
                "{} rows in {}, {} lines quarantined",
                receipt.rows,
                root.join(&unit.output).display(),
                receipt.quarantined
            )
        }
    };
    Ok(Outcome::Made(text))
}

/// The tokeniser's identity goes with the model.
fn copy_tokeniser(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(info) = slam_train::tokeniser_of_model(from)? {
        let text = serde_json::to_vec_pretty(&info)?;
        publish::write(&to.join("tokeniser.json"), &text)?;
    }
    Ok(())
}
