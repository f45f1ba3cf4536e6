//! What ranks a model's continuations: any program or service that gives a number for one.
//!
//! The stage knows neither vocoder nor ASR nor judge: whoever has them puts them behind a command or an HTTP
//! address. A request is one JSON object,
//!
//! ```json
//! {"id": "story-000012", "sample": 0, "prompt": [3, 49], "continuation": [7, 254], "prompt_text": null,
//!  "tokeniser": "mhubert-25hz-500", "units_per_second": 25.0}
//! ```
//!
//! and an answer a number (`-3.25`) or an object with one and what is said in the continuation, which the
//! filter against repetition reads: `{"score": -3.25, "text": "and went home"}`.

mod command;
mod http;

use serde::{Deserialize, Serialize};

pub use command::CommandScorer;
pub use http::HttpScorer;

/// A continuation to score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate<'a> {
    /// The row that the prompt is of.
    pub id: &'a str,
    /// Which of the prompt's continuations this is, from 0.
    pub sample: usize,
    /// Units of the prompt.
    pub prompt: &'a [u16],
    /// Units of the continuation, without `<S>`.
    pub continuation: &'a [u16],
    /// What the prompt says, where known.
    pub prompt_text: Option<&'a str>,
    /// The tokeniser's name.
    pub tokeniser: &'a str,
    /// Frames a second before deduplication.
    pub units_per_second: f64,
}

/// What a scorer says of a continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its score; finite.
    pub score: f64,
    /// What it says, where the scorer knows.
    pub text: Option<String>,
}

/// A scorer that does not score.
#[derive(Debug, thiserror::Error)]
pub enum ScorerError {
    /// An answer to one request that is no score: the row is left out.
    #[error("{0}")]
    Answer(String),
    /// It cannot be started, ended, or does not answer: no row would be scored.
    #[error(
        "the scorer {what} {message}; it gets one JSON object with prompt and continuation and answers with a number"
    )]
    Broken {
        /// The command or address.
        what: String,
        /// What happened.
        message: String,
    },
}

/// Gives continuations their scores.
pub trait Scorer {
    /// The score of a continuation.
    ///
    /// # Errors
    /// [`ScorerError::Answer`] where this one has no score, else [`ScorerError::Broken`].
    fn score(&mut self, candidate: &Candidate<'_>) -> Result<Answer, ScorerError>;
}

/// Which scorer. Part of a shard's key: where the program behind it changes, raise `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorerConfig {
    /// A command run by `sh -c`, one process a shard: a request a line in, an answer a line out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// An HTTP address: a request is a POST of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the scores are of, so that another model behind the same command makes other shards.
    #[serde(default)]
    pub version: String,
    /// Seconds that an answer may take.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: f64,
}

fn timeout_seconds() -> f64 {
    120.0
}

impl ScorerConfig {
    /// Starts the command, or is ready to ask the address.
    ///
    /// # Errors
    /// If not just one of both is named, or the command cannot be started.
    pub fn open(&self) -> Result<Box<dyn Scorer>, ScorerError> {
        let broken = |message: &str| ScorerError::Broken {
            what: "of the pairs".into(),
            message: message.into(),
        };
        let timeout = std::time::Duration::try_from_secs_f64(self.timeout_seconds)
            .ok()
            .filter(|t| !t.is_zero())
            .ok_or_else(|| broken("needs a timeout_seconds above 0"))?;
        match (&self.command, &self.url) {
            (Some(command), None) => Ok(Box::new(CommandScorer::start(command, timeout)?)),
            (None, Some(url)) => Ok(Box::new(HttpScorer::new(url, timeout))),
            _ => Err(broken("needs either a command or a url")),
        }
    }
}

/// Reads an answer.
fn parse(text: &str) -> Result<Answer, ScorerError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(f64),
        Object { score: f64, text: Option<String> },
    }
    let shown = || text.trim().chars().take(120).collect::<String>();
    let answer = match serde_json::from_str(text.trim()) {
        Ok(Form::Number(score)) => Answer { score, text: None },
        Ok(Form::Object { score, text }) => Answer { score, text },
        Err(_) => {
            return Err(ScorerError::Answer(format!(
                "the scorer answered '{}', expected a number or {{\"score\": …}}",
                shown()
            )));
        }
    };
    if answer.score.is_finite() {
        Ok(answer)
    } else {
        Err(ScorerError::Answer(format!("the scorer answered '{}', which is not finite", shown())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_numbers_with_or_without_a_text() {
        assert_eq!(parse(" -3.5\n").unwrap(), Answer { score: -3.5, text: None });
        let with_text = Answer { score: 2.0, text: Some("x".into()) };
        assert_eq!(parse(r#"{"score": 2, "text": "x", "more": 0}"#).unwrap(), with_text);
        for text in ["", "nan", "\"3\"", "[1]", "{}", "1e999", "error: no GPU"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, ScorerError::Answer(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_scorer_is_a_command_or_an_address() {
        let of = |json: &str| serde_json::from_str::<ScorerConfig>(json).unwrap().open();
        for json in [
            "{}",
            r#"{"command": "cat", "url": "http://x"}"#,
            r#"{"command": "cat", "timeout_seconds": 0}"#,
            r#"{"command": "cat", "timeout_seconds": -1}"#,
        ] {
            assert!(of(json).is_err(), "{json}");
        }
        assert!(of(r#"{"url": "http://127.0.0.1:1/"}"#).is_ok());
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
