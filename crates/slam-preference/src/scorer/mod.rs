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
mod protocol;

use slam_recipe::source::ScorerConfig;

pub use command::CommandScorer;
pub use http::HttpScorer;
pub use protocol::{Answer, Candidate, Scorer, ScorerError};

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
}
