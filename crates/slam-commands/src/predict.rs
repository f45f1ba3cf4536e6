//! `train --dry-run --gpu …`: what a run would come to, before the day starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};
use slam_predict::{Extent, GPUS, Gpu, ModelShape, Prediction, Speed, StepShape};
use slam_recipe::pipeline::Dataset;
use slam_recipe::training::{Activations, Budget, Precision, PretrainConfig};
use slam_recipe::{Lock, Pipeline, Stage};

use crate::exit::Failure;

/// Tokens of the vocabulary that are no units: `<PAD>` and `<S>`.
const SPECIAL_TOKENS: u64 = 2;

/// What to reckon with.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// With --dry-run: predict tokens, loss and memory on this GPU, e.g. a5000, a100, h200, from the share
    /// of its peak that others report
    #[arg(long, value_name = "GPU", requires = "dry_run")]
    gpu: Option<String>,
    /// With --dry-run: predict from this speed of this model
    #[arg(long, value_name = "N", requires = "dry_run", conflicts_with_all = ["share_of_peak", "measured"])]
    tokens_per_second: Option<f64>,
    /// With --gpu: predict from this share of its peak, 0 to 1
    #[arg(long, value_name = "SHARE", requires = "gpu", conflicts_with = "measured")]
    share_of_peak: Option<f64>,
    /// With --dry-run: predict from the speed that this finished run had, scaled by the models' sizes
    #[arg(long, value_name = "RUN", requires = "dry_run")]
    measured: Option<PathBuf>,
}

impl Options {
    /// Whether something says what to reckon with; without it the first steps are measured.
    pub(crate) fn is_given(&self) -> bool {
        self.gpu.is_some() || self.tokens_per_second.is_some() || self.measured.is_some()
    }

    /// The prediction for a pipeline, in lines.
    pub(crate) fn predict(&self, pipeline: &Pipeline, data: &Path) -> anyhow::Result<String> {
        let gpu = match &self.gpu {
            Some(name) => Some(Gpu::named(name).ok_or_else(|| {
                let known: Vec<_> = GPUS.iter().map(|g| g.name).collect();
                Failure::Usage(format!(
                    "--gpu {name} is not known; use one of {}",
                    known.join(", ")
                ))
            })?),
            None => None,
        };
        let shape = shape_of(pipeline)?;
        let speed = match (self.tokens_per_second, &self.measured, &gpu) {
            (Some(speed), _, _) => Speed::stated(speed),
            (None, Some(run), _) => measured(run, &shape)?,
            (None, None, Some(gpu)) => Speed::share_of_peak(gpu, self.share_of_peak, &shape),
            (None, None, None) => {
                let message = "a prediction needs --gpu, --tokens-per-second or --measured";
                return Err(Failure::Usage(message.into()).into());
            }
        };
        let Some(training) = &pipeline.train else {
            let message = format!("pipeline '{}' has no [train] table to predict", pipeline.name);
            return Err(Failure::Usage(message).into());
        };
        let tokens = data_tokens(pipeline, data);
        let extent = extent_of(training.params.budget, tokens)?;
        let prediction = Prediction::of(shape, step_of(&training.params), speed, extent)
            .map_err(|e| Failure::Usage(e.to_string()))?;
        let mut lines = prediction.lines(gpu.as_ref());
        lines.push(match tokens {
            Some(n) => format!(
                "data         {n} tokens in unit shards below {}: {:.2} passes",
                data.display(),
                prediction.tokens / n as f64
            ),
            None => {
                format!("data         the unit shards are not complete below {}", data.display())
            }
        });
        if let Some(Budget::Seconds(dpo)) = pipeline.dpo.as_ref().map(|t| t.params.budget) {
            lines.push(format!("DPO          {dpo:.0} s of the budget"));
        }
        Ok(lines.join("\n"))
    }
}

/// The decoder that the pipeline trains: `[model]`, over its checkpoint's `config.json` where it names one.
fn shape_of(pipeline: &Pipeline) -> anyhow::Result<ModelShape> {
    let mut config = Map::new();
    if let Some(folder) = &pipeline.model.checkpoint {
        let path = folder.join("config.json");
        if path.is_file() {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            config = serde_json::from_str(&text)
                .with_context(|| format!("{} is not JSON", path.display()))?;
        }
    }
    config.extend(pipeline.model.config.clone());
    // Where centroids are fitted, their number says how many units there are.
    let tokeniser = &pipeline.tokeniser;
    let units = tokeniser.fit_on.as_ref().map(|_| tokeniser.kmeans.k as u64 + SPECIAL_TOKENS);
    let shape = ModelShape::of(&Value::Object(config), units);
    Ok(shape.map_err(|e| Failure::Usage(e.to_string()))?)
}

fn step_of(params: &PretrainConfig) -> StepShape {
    let (rows, micro_rows) = (params.rows.max(1) as u64, params.micro_rows as u64);
    StepShape {
        context: params.context as u64,
        rows,
        micro_rows: if micro_rows == 0 { rows } else { micro_rows.min(rows) },
        bf16: params.optimiser.precision == Precision::Bf16,
        recompute: params.optimiser.activations == Activations::Recompute,
    }
}

/// The speed of a finished run, as its summary tells it.
fn measured(run: &Path, shape: &ModelShape) -> anyhow::Result<Speed> {
    let path = [run.join("pretrain/summary.json"), run.join("summary.json")]
        .into_iter()
        .find(|p| p.is_file())
        .ok_or_else(|| Failure::Usage(format!("--measured {}: no finished run", run.display())))?;
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let summary: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let number = |value: &Value| {
        value
            .as_f64()
            .filter(|x| *x > 0.0)
            .with_context(|| format!("{} is no summary of a run", path.display()))
    };
    let spent = &summary["spent"];
    let speed = number(&spent["tokens"])? / number(&spent["seconds"])?;
    Ok(Speed::measured(speed, number(&summary["parameters"])?, shape))
}

/// Tokens of the training datasets' unit shards: units, and `<S>` at both ends of each row. `None` where a
/// shard is missing.
fn data_tokens(pipeline: &Pipeline, root: &Path) -> Option<u64> {
    let datasets = &pipeline.train.as_ref()?.datasets;
    let trains = |d: &Dataset| datasets.contains(&d.name);
    let data = Lock::read(root).ok()?.select(root, pipeline, trains).ok()?;
    let mut tokens = 0;
    for shard in datasets.iter().flat_map(|d| data.shards(d, Stage::Unitise)) {
        let made = shard.made.as_ref()?;
        tokens += *made.totals.get("units")? as u64 + 2 * made.rows;
    }
    (tokens > 0).then_some(tokens)
}

fn extent_of(budget: Budget, data_tokens: Option<u64>) -> anyhow::Result<Extent> {
    match (budget, data_tokens) {
        (Budget::Seconds(seconds), _) => {
            let time = Duration::try_from_secs_f64(seconds)
                .map_err(|_| Failure::Usage(format!("a budget of {seconds} seconds")))?;
            Ok(Extent::Time(time))
        }
        (Budget::Tokens(tokens), _) => Ok(Extent::Tokens(tokens as f64)),
        (Budget::Epochs(epochs), Some(tokens)) => Ok(Extent::Tokens(epochs * tokens as f64)),
        (Budget::Epochs(_) | Budget::Steps(_), _) => {
            let message = "say how long: --budget 24h or --tokens N (passes need the unit shards to be there)";
            Err(Failure::Usage(message.into()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pipeline(model: Value) -> Pipeline {
        serde_json::from_value(json!({
            "name": "t",
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "centroids": "c.npy"},
            "model": model,
            "train": {"datasets": [], "params": {"context": 512, "rows": 8, "budget": {"seconds": 100.0}}},
        }))
        .unwrap()
    }

    fn model(more: Value) -> Value {
        let mut model = json!({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 52});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model
    }

    fn options(gpu: Option<&str>, tokens_per_second: Option<f64>) -> Options {
        let gpu = gpu.map(str::to_owned);
        Options { gpu, tokens_per_second, share_of_peak: None, measured: None }
    }

    #[test]
    fn a_stated_speed_and_a_gpu_are_predicted() {
        let p = pipeline(model(json!({})));
        let text = options(None, Some(1000.0)).predict(&p, Path::new("data")).unwrap();
        assert!(text.contains("100000 tokens") && text.contains("24 steps of 8 × 512"), "{text}");
        let text = options(Some("h200"), None).predict(&p, Path::new("data")).unwrap();
        assert!(text.contains("h200 has 141 GiB") && text.contains("assumed"), "{text}");
        let error =
            options(Some("gtx"), None).predict(&p, Path::new("data")).unwrap_err().to_string();
        assert!(error.contains("a5000") && error.contains("h200"), "{error}");
    }

    #[test]
    fn a_checkpoints_configuration_is_read_where_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = json!({"checkpoint": folder.path()});
        let error = shape_of(&pipeline(checkpoint.clone())).unwrap_err().to_string();
        assert!(error.contains("hidden_size"), "{error}");
        let config = model(json!({})).to_string();
        fs::write(folder.path().join("config.json"), config).unwrap();
        let from_checkpoint = shape_of(&pipeline(checkpoint)).unwrap();
        assert_eq!(from_checkpoint, shape_of(&pipeline(model(json!({})))).unwrap());
    }

    #[test]
    fn a_finished_runs_speed_is_taken() {
        let run = tempfile::tempdir().unwrap();
        let p = pipeline(model(json!({})));
        let parameters = shape_of(&p).unwrap().parameters;
        let mut options = options(None, None);
        options.measured = Some(run.path().to_owned());
        assert!(options.predict(&p, Path::new("data")).is_err());
        let summary = json!({"spent": {"steps": 1, "tokens": 500, "seconds": 10.0},
            "parameters": 2 * parameters});
        fs::write(run.path().join("summary.json"), summary.to_string()).unwrap();
        let text = options.predict(&p, Path::new("data")).unwrap();
        assert!(text.contains("100 tokens/s: measured"), "{text}");
    }
}
