//! Scorers rank a model's continuations. A scorer is any program or service that gives a number for a
//! continuation.
//!
//! The stage does not know the vocoder, the ASR or the judge. Put them behind a command or an HTTP address.
//! A request is one JSON object:
//!
//! ```json
//! {"id": "story-000012", "sample": 0, "prompt": [3, 49], "continuation": [7, 254], "prompt_text": null,
//!  "tokeniser": "mhubert-25hz-500", "units_per_second": 25.0}
//! ```
//!
//! An answer is a number (`-3.25`), or an object with a number and the text of the continuation:
//! `{"score": -3.25, "text": "and went home"}`. The filter for repetition reads the text.

mod command;
mod http;

use serde::{Deserialize, Serialize};
use slam_recipe::source::ScorerConfig;

pub use command::CommandScorer;
pub use http::HttpScorer;

/// A continuation to score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate<'a> {
    /// The id of the row that the prompt comes from.
    pub id: &'a str,
    /// The index of this continuation among the prompt's continuations, from 0.
    pub sample: usize,
    /// The units of the prompt.
    pub prompt: &'a [u16],
    /// The units of the continuation, without `<S>`.
    pub continuation: &'a [u16],
    /// The text of the prompt, if known.
    pub prompt_text: Option<&'a str>,
    /// The tokeniser's name.
    pub tokeniser: &'a str,
    /// Frames per second before deduplication.
    pub units_per_second: f64,
}

/// A scorer's answer for one continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The score, which is finite.
    pub score: f64,
    /// The text of the continuation, if the scorer knows it.
    pub text: Option<String>,
}

/// The reasons why a scorer gives no score.
#[derive(Debug, thiserror::Error)]
pub enum ScorerError {
    /// The answer to one request is not a score. The row is left out.
    #[error("{0}")]
    Answer(String),
    /// The scorer cannot be started, has ended, or does not answer. No row could be scored.
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
    /// Returns the score of a continuation.
    ///
    /// # Errors
    /// Returns [`ScorerError::Answer`] if this continuation has no score, and [`ScorerError::Broken`]
    /// otherwise.
    fn score(&mut self, candidate: &Candidate<'_>) -> Result<Answer, ScorerError>;
}

/// Starts the command, or is ready to ask the address.
///
/// # Errors
/// If not just one of both is named, or the command cannot be started.
pub fn open(config: &ScorerConfig) -> Result<Box<dyn Scorer>, ScorerError> {
    let broken = |message: &str| ScorerError::Broken {
        what: "of the pairs".into(),
        message: message.into(),
    };
    let timeout = std::time::Duration::try_from_secs_f64(config.timeout_seconds)
        .ok()
        .filter(|t| !t.is_zero())
        .ok_or_else(|| broken("needs a timeout_seconds above 0"))?;
    match (&config.command, &config.url) {
        (Some(command), None) => Ok(Box::new(CommandScorer::start(command, timeout)?)),
        (None, Some(url)) => Ok(Box::new(HttpScorer::new(url, timeout))),
        _ => Err(broken("needs either a command or a url")),
    }
}

/// Parses an answer.
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
        let of = |json: &str| open(&serde_json::from_str::<ScorerConfig>(json).unwrap());
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
