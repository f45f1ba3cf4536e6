//! Generative metrics: what a recogniser hears in continuations, and how likely a text model finds that.
//!
//! Continuations are vocoded, transcribed and scored by services that the user provides: a vocoder as a
//! command, and a transcription endpoint and a completion endpoint with log-probabilities that use OpenAI's
//! protocol, as whisper servers and vLLM do. GenPPL is the exponential of the mean over samples of the mean
//! negative log-likelihood of a sample's transcript (Maimon et al. 2025). Auto-BLEU-2 is computed on the
//! same transcripts.

mod http;
mod vocoder;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use slam_recipe::Key;
use slam_recipe::publish::{self, PublishError};

pub use http::{Ask, ServiceError};
use slam_recipe::evaluation::Services;
pub use vocoder::{CommandVocoder, Vocoder, VocoderError};

use crate::interval::{Interval, of_mean};

/// A continued prompt.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Continuation {
    /// The prompt's file.
    pub prompt: String,
    /// The prompt's units.
    pub prompt_units: Vec<u16>,
    /// The units of the continuation.
    pub units: Vec<u16>,
}

/// A measured continuation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The key of the units and services. If it is the same, the continuation is not measured again.
    pub key: Key,
    /// The prompt's file.
    pub prompt: String,
    /// The transcript of prompt and continuation.
    pub text: String,
    /// The mean negative log-likelihood of the transcript's tokens, in nats; `None` if it has fewer than
    /// two tokens.
    pub nll: Option<f64>,
    /// The number of tokens in this mean.
    pub tokens: usize,
    /// Auto-BLEU-2 of the transcript, 0 to 1.
    pub auto_bleu2: f64,
}

/// The reasons why metrics could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum GenerativeError {
    /// The vocoder failed.
    #[error("{prompt}: {source}")]
    Vocoder {
        /// The prompt.
        prompt: String,
        /// Why it failed.
        source: VocoderError,
    },
    /// A service failed.
    #[error("{prompt}: {source}")]
    Service {
        /// The prompt.
        prompt: String,
        /// Why it failed.
        source: ServiceError,
    },
    /// The file of measured continuations cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// There is nothing to measure.
    #[error("there are no continuations; make some with `generate CHECKPOINT --out FILE`")]
    Empty,
}

/// Figures over all continuations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generative {
    /// The number of continuations.
    pub samples: usize,
    /// The number of continuations whose transcript is too short for a likelihood. They do not count in
    /// GenPPL.
    pub silent: usize,
    /// GenPPL with its 95 % interval over samples; `None` if all are silent.
    pub gen_ppl: Option<[f64; 3]>,
    /// Auto-BLEU-2 in percent with its 95 % interval over samples.
    pub auto_bleu2: [f64; 3],
}

/// Measures continuations in order. `auto_bleu` receives a transcript. Results in `out` (JSON lines) for
/// the same units and services are kept. Each new result is written at once, so that a service that goes
/// away costs one sample.
///
/// # Errors
/// Fails if the vocoder or a service fails, or if a file cannot be read or written.
pub fn measure(
    continuations: &[Continuation],
    services: &Services,
    auto_bleu: &dyn Fn(&str) -> f64,
    out: &Path,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Measured>, GenerativeError> {
    if continuations.is_empty() {
        return Err(GenerativeError::Empty);
    }
    let vocoder = CommandVocoder::new(&services.vocoder);
    let kept = read(out)?;
    let mut measured: Vec<Measured> = Vec::new();
    for (i, c) in continuations.iter().enumerate() {
        let units: Vec<u16> = c.prompt_units.iter().chain(&c.units).copied().collect();
        let key = Key::of_work("generative", 1, &json!({"units": units, "services": services}), []);
        if let Some(old) = kept.iter().find(|m| m.key == key) {
            measured.push(Measured { prompt: c.prompt.clone(), ..old.clone() });
        } else {
            let wav = vocoder
                .speak(&units)
                .map_err(|source| GenerativeError::Vocoder { prompt: c.prompt.clone(), source })?;
            let service = |source| GenerativeError::Service { prompt: c.prompt.clone(), source };
            let text = services.transcription.transcribe(&wav).map_err(service)?;
            let nlls = services.completion.token_nlls(&text).map_err(service)?;
            let nll = (!nlls.is_empty()).then(|| nlls.iter().sum::<f64>() / nlls.len() as f64);
            let auto_bleu2 = auto_bleu(&text);
            let prompt = c.prompt.clone();
            measured.push(Measured { key, prompt, text, nll, tokens: nlls.len(), auto_bleu2 });
            write(out, &measured)?;
        }
        progress(i + 1);
    }
    write(out, &measured)?;
    Ok(measured)
}

fn read(out: &Path) -> Result<Vec<Measured>, GenerativeError> {
    match fs::read_to_string(out) {
        // Ignore lines that another program wrote; those samples are measured again.
        Ok(text) => Ok(text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(source) => Err(GenerativeError::Read { path: out.to_owned(), source }),
    }
}

fn write(out: &Path, measured: &[Measured]) -> Result<(), PublishError> {
    let lines = measured.iter().filter_map(|m| serde_json::to_string(m).ok());
    let text: String = lines.map(|l| l + "\n").collect();
    publish::write(out, text.as_bytes())
}

/// Computes the figures over all measured continuations.
pub fn summarise(measured: &[Measured]) -> Generative {
    let nlls: Vec<f64> = measured.iter().filter_map(|m| m.nll).collect();
    let bleus: Vec<f64> = measured.iter().map(|m| 100.0 * m.auto_bleu2).collect();
    let three = |i: Interval| [i.mean, i.low, i.high];
    Generative {
        samples: measured.len(),
        silent: measured.len() - nlls.len(),
        gen_ppl: (!nlls.is_empty()).then(|| three(of_mean(&nlls)).map(f64::exp)),
        auto_bleu2: three(of_mean(&bleus)),
    }
}

impl Generative {
    /// Returns the text for a terminal.
    pub fn text(&self) -> String {
        let figure = |[v, low, high]: [f64; 3]| format!("{v:.2} [{low:.2}, {high:.2}]");
        let ppl = self.gen_ppl.map_or("—".to_owned(), figure);
        format!(
            "GenPPL        {ppl}\nAuto-BLEU-2   {} %\nsamples       {}, {} of them silent (not in GenPPL); \
             95 % bootstrap intervals over samples",
            figure(self.auto_bleu2),
            self.samples,
            self.silent
        )
    }
}

#[cfg(test)]
mod tests;
