//! Continuations of spoken prompts.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use serde::Serialize;
use slam_lm::generate::{GenerateOptions, generate};
use slam_lm::tokenizer::{token_units, unit_tokens};
use slam_lm::{BOS, Decoder};
use slam_nn::device::{self, DeviceSpec};
use slam_recipe::event::Outcome;
use slam_recipe::request::{GenerateRequest, Reporting};
use slam_recipe::{Event, publish};
use slam_units::kmeans::KMeans;
use slam_units::{Checkpoint, Tokeniser};

use crate::exit::Interrupted;

/// One continued prompt.
#[derive(Serialize)]
struct Continuation {
    prompt: String,
    prompt_units: Vec<u16>,
    /// The new units, without `<S>`.
    units: Vec<u16>,
    /// Whether the model ended the sequence itself.
    ended: bool,
}

/// Continues prompts.
pub(crate) fn run(r: &GenerateRequest, device: DeviceSpec) -> anyhow::Result<Outcome> {
    let device = device::open(device)?;
    let model = Decoder::load(&r.checkpoint, &device)
        .with_context(|| format!("checkpoint {}", r.checkpoint.display()))?;
    let mut tokeniser = None;
    let mut prompts = Vec::new();
    for path in &r.prompts {
        let units = if path.extension().is_some_and(|e| e == "json") {
            let bytes =
                fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is no list of units", path.display()))?
        } else {
            let tokeniser = match &mut tokeniser {
                Some(t) => t,
                none => none.insert(load_tokeniser(r, &device)?),
            };
            unitise(path, r.prompt_seconds, tokeniser)?
        };
        let mut tokens = vec![BOS];
        tokens.extend(unit_tokens(&units));
        model.check_tokens(&tokens).with_context(|| path.display().to_string())?;
        prompts.push((units, tokens));
    }
    let options = GenerateOptions {
        max_new_tokens: r.max_new_tokens,
        temperature: r.temperature,
        top_k: r.top_k,
        top_p: r.top_p,
        repetition_penalty: r.repetition_penalty,
        stop: Some(BOS),
        seed: r.seed,
    };
    let tokens: Vec<&[u32]> = prompts.iter().map(|p| p.1.as_slice()).collect();
    let mut drawn = 0;
    let total = (r.max_new_tokens * tokens.len()) as f64;
    let new = generate(&model, &tokens, &options, &mut |prompt, token| {
        drawn += 1;
        if r.reporting == Reporting::Streamed {
            let unit = token_units(&[token]).first().copied();
            Event::Unit { prompt, unit }.print();
        }
        Event::Progress {
            task: "generate".into(),
            done: f64::from(drawn),
            total,
            unit: "tokens".into(),
            message: String::new(),
        }
        .print();
        if slam_interrupt::flag().load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if slam_interrupt::flag().load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    let continuations: Vec<Continuation> = r
        .prompts
        .iter()
        .zip(prompts)
        .zip(new)
        .map(|((path, (prompt_units, _)), new)| Continuation {
            prompt: path.display().to_string(),
            prompt_units,
            ended: new.last() == Some(&BOS),
            units: token_units(&new),
        })
        .collect();
    let text = serde_json::to_string_pretty(&continuations)?;
    if let Some(out) = &r.out {
        publish::write(out, text.as_bytes())?;
    }
    Ok(Outcome::Table(text))
}

fn load_tokeniser(
    r: &GenerateRequest,
    device: &slam_nn::device::Device,
) -> anyhow::Result<Tokeniser> {
    let Some(named) = &r.tokeniser else {
        bail!("the request names no tokeniser, which a recording needs");
    };
    let [centroids, weights @ ..] = &named.files[..] else {
        bail!("the request names no centroids");
    };
    let checkpoint = weights.iter().find(|i| i.path.ends_with("config.json")).and_then(|config| {
        let folder = named.root.join(&config.path).parent()?.to_owned();
        Some(Checkpoint { folder, keys: weights.iter().map(|i| i.key.clone()).collect() })
    });
    let kmeans = KMeans::read(&named.root.join(&centroids.path))?;
    let tokeniser =
        Tokeniser::new(&named.name, &named.features, checkpoint.as_ref(), kmeans, device)?;
    if let Some(expected) = slam_train::tokeniser_of_model(&r.checkpoint)?
        && expected.identity != tokeniser.info().identity
    {
        bail!(
            "{} was trained on units of {} ({}), the pipeline's tokeniser is {} ({}); name the pipeline it was trained with",
            r.checkpoint.display(),
            expected.name,
            expected.identity.short(),
            tokeniser.info().name,
            tokeniser.info().identity.short()
        );
    }
    Ok(tokeniser)
}

fn unitise(path: &Path, seconds: Option<f64>, tokeniser: &Tokeniser) -> anyhow::Result<Vec<u16>> {
    let named = || path.display().to_string();
    let audio = slam_audio::decode_file(path).with_context(named)?;
    for warning in &audio.warnings {
        eprintln!("{}: {warning}", named());
    }
    let mut samples = slam_audio::resample(audio.samples, audio.rate_hz).with_context(named)?;
    if let Some(seconds) = seconds {
        samples.truncate((seconds * f64::from(slam_audio::RATE_HZ)) as usize);
    }
    let units = tokeniser.units(&[&samples]).into_iter().next().unwrap_or_default().0;
    if units.is_empty() {
        bail!("{}: too short for a unit", named());
    }
    Ok(units)
}
