//! `slam check`: whether every step of a run would take its request, before the first one starts.
//!
//! A misspelt field of `[dpo.params]` must not show after a day of pre-training.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use slam_lm::DecoderConfig;

use crate::runs::{self, DpoRequest, EvaluateRequest, PretrainRequest};

/// One request and the command that it is for.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    command: String,
    request: PathBuf,
}

impl std::str::FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (command, request) = text.split_once('=').ok_or("expected COMMAND=REQUEST")?;
        Ok(Self { command: command.to_owned(), request: request.into() })
    }
}

/// Reads every request as its command would.
pub(crate) fn run(steps: &[Step]) -> anyhow::Result<()> {
    for step in steps {
        request(step).with_context(|| format!("[{}] of the pipeline", section(&step.command)))?;
    }
    Ok(())
}

/// The pipeline's table that a command's parameters are from.
fn section(command: &str) -> &str {
    if command == "pretrain" { "train" } else { command }
}

fn request(step: &Step) -> anyhow::Result<()> {
    match step.command.as_str() {
        "pretrain" => {
            let request: PretrainRequest = runs::read(&step.request)?;
            model(&request.model)
        }
        "dpo" => runs::read::<DpoRequest>(&step.request).map(|_| ()),
        "evaluate" => runs::read::<EvaluateRequest>(&step.request).map(|_| ()),
        "report" => Ok(()),
        other => bail!("there is no step '{other}'"),
    }
}

/// Checks `[model]`: fields that no configuration has are refused, and where it names a checkpoint, what
/// it says beside that must be what the checkpoint says.
pub(crate) fn model(model: &Value) -> anyhow::Result<()> {
    let mut said = model.as_object().cloned().context("[model] is no table")?;
    let checkpoint = said.remove("checkpoint");
    let Some(checkpoint) = checkpoint else {
        // The tokeniser says how many units there are, so the vocabulary may be left out.
        let mut whole = said.clone();
        whole.entry("vocab_size").or_insert(Value::from(502));
        return compare(&said, &DecoderConfig::from_json(&Value::Object(whole))?, "");
    };
    let folder = checkpoint.as_str().context("[model]: checkpoint must be a folder")?;
    let config = slam_lm::checkpoint::read_config(Path::new(folder)).with_context(|| {
        format!(
            "[model] starts from the checkpoint {folder}; make it of a text model's with \
             `cargo xtask import hf TEXT_MODEL {folder}`, or train from random weights without `checkpoint`"
        )
    })?;
    compare(&said, &config, folder)
}

fn compare(
    said: &Map<String, Value>,
    config: &DecoderConfig,
    checkpoint: &str,
) -> anyhow::Result<()> {
    let json = config.to_json();
    for (name, value) in said {
        let Some(known) = json.get(name) else {
            let known: Vec<_> =
                json.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
            bail!("[model] has no field '{name}'; this family has {}", known.join(", "));
        };
        let same = match (value.as_f64(), known.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => value == known,
        };
        if !same && !checkpoint.is_empty() {
            bail!("[model] says {name} = {value}, but the checkpoint {checkpoint} has {known}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn sizes(more: Value) -> Value {
        let mut model = json!({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_theta": 10000.0, "tie_word_embeddings": true});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model
    }

    #[test]
    fn an_unknown_field_of_the_model_is_refused_with_the_list() {
        model(&sizes(json!({}))).unwrap();
        let error = model(&sizes(json!({"rope_thta": 1e6}))).unwrap_err().to_string();
        assert!(error.contains("rope_thta") && error.contains("rope_theta"), "{error}");
    }

    #[test]
    fn a_checkpoint_must_be_what_the_pipeline_says_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let of = |more: Value| {
            let mut m = sizes(more);
            m["checkpoint"] = json!(folder.path());
            model(&m)
        };
        let missing = format!("{:#}", of(json!({})).unwrap_err());
        assert!(missing.contains("cargo xtask import hf"), "{missing}");
        let config = DecoderConfig::qwen2(52, 64, 128, 2, 2, 1, 1024).to_json().to_string();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        of(json!({})).unwrap();
        let error = of(json!({"rope_theta": 1e6})).unwrap_err().to_string();
        assert!(error.contains("rope_theta") && error.contains("10000"), "{error}");
    }

    #[test]
    fn each_step_of_a_run_is_named_in_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dpo.json");
        let request = |beta: &str| {
            json!({"params": {"budget": {"steps": 1}, beta: 0.1}, "policy": "p", "shards": [],
                "data_key": "0".repeat(64), "run": "r"})
        };
        let check = |request: Value| {
            std::fs::write(&path, request.to_string()).unwrap();
            run(&[format!("dpo={}", path.display()).parse().unwrap()])
        };
        check(request("beta")).unwrap();
        let error = format!("{:#}", check(request("bta")).unwrap_err());
        assert!(error.contains("[dpo]") && error.contains("bta"), "{error}");
        assert!("dpo".parse::<Step>().is_err());
    }
}
