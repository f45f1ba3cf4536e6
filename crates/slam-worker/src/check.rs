//! Whether every step of a run would take its request, before the first one starts: a field of `[model]` that its
//! family does not have must not show after hours of preparation.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use slam_lm::DecoderConfig;
use slam_recipe::Request;
use slam_recipe::event::Outcome;
use slam_recipe::pipeline::Model;
use slam_recipe::request::CheckRequest;

/// Checks every request.
pub(crate) fn run(request: &CheckRequest) -> anyhow::Result<Outcome> {
    for request in &request.requests {
        if let Request::Pretrain(pretrain) | Request::PlanPretrain(pretrain) = request {
            model(&pretrain.model).context("[model] of the pipeline")?;
        }
    }
    Ok(Outcome::UpToDate)
}

/// Checks `[model]`: fields that no configuration has are refused, and where it names a checkpoint, what
/// it says beside that must be what the checkpoint says.
pub(crate) fn model(model: &Model) -> anyhow::Result<()> {
    let Model { checkpoint, config: said } = model;
    let Some(folder) = checkpoint else {
        // The tokeniser says how many units there are, so the vocabulary may be left out.
        let mut whole = said.clone();
        whole.entry("vocab_size").or_insert(Value::from(502));
        return compare(said, &DecoderConfig::from_json(&Value::Object(whole))?, "");
    };
    let config = slam_lm::checkpoint::read_config(folder);
    let folder = folder.display().to_string();
    let config = config.with_context(|| {
        format!(
            "[model] starts from the checkpoint {folder}; make it of a text model's with \
             `import hf TEXT_MODEL --out {folder}`, or train from random weights without `checkpoint`"
        )
    })?;
    compare(said, &config, &folder)
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

    fn check(value: Value) -> anyhow::Result<()> {
        model(&serde_json::from_value(value).unwrap())
    }

    fn sizes(more: Value) -> Value {
        let mut model = json!({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_theta": 10000.0, "tie_word_embeddings": true});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model
    }

    #[test]
    fn an_unknown_field_of_the_model_is_refused_with_the_list() {
        check(sizes(json!({}))).unwrap();
        let error = check(sizes(json!({"rope_thta": 1e6}))).unwrap_err().to_string();
        assert!(error.contains("rope_thta") && error.contains("rope_theta"), "{error}");
    }

    #[test]
    fn a_checkpoint_must_be_what_the_pipeline_says_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let of = |more: Value| {
            let mut m = sizes(more);
            m["checkpoint"] = json!(folder.path());
            check(m)
        };
        let missing = format!("{:#}", of(json!({})).unwrap_err());
        assert!(missing.contains("`import hf"), "{missing}");
        let config = DecoderConfig::qwen2(52, 64, 128, 2, 2, 1, 1024).to_json().to_string();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        of(json!({})).unwrap();
        let error = of(json!({"rope_theta": 1e6})).unwrap_err().to_string();
        assert!(error.contains("rope_theta") && error.contains("10000"), "{error}");
    }
}
