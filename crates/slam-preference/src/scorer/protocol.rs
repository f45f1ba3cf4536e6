//! What a scorer is asked, and what it answers.

use serde::{Deserialize, Serialize};

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

/// Parses an answer.
pub(super) fn parse(text: &str) -> Result<Answer, ScorerError> {
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

    proptest! {
        #[test]
        fn no_answer_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
