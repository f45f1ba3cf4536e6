use std::thread;
use std::time::Duration;

use ureq::Agent;

use super::protocol::{Answer, Candidate, Scorer, ScorerError, parse};

/// How many times a request is sent before the scorer reports that the service is gone.
const TRIES: u32 = 4;
/// The wait before the second try. Each later wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A scorer that sends POST requests to a service.
pub struct HttpScorer {
    url: String,
    agent: Agent,
}

impl HttpScorer {
    /// Makes a scorer for an address. Sends nothing yet.
    pub fn new(url: &str, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent("slam")
            .build();
        Self { url: url.to_owned(), agent: config.into() }
    }
}

impl Scorer for HttpScorer {
    fn score(&mut self, candidate: &Candidate<'_>) -> Result<Answer, ScorerError> {
        let mut failure = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(FIRST_WAIT * 2u32.pow(attempt - 1));
            }
            match self.agent.post(&self.url).send_json(candidate) {
                Ok(mut response) => {
                    let status = response.status();
                    let text = response.body_mut().read_to_string().unwrap_or_default();
                    if status.is_success() {
                        return parse(&text);
                    }
                    let shown: String = text.trim().chars().take(120).collect();
                    failure = format!("answered {status}: {shown}");
                    // The service understood the request and refuses it; asking again changes nothing.
                    if status.is_client_error() && status.as_u16() != 429 {
                        return Err(ScorerError::Answer(format!("the scorer {failure}")));
                    }
                }
                Err(e) => failure = format!("cannot be reached: {e}"),
            }
        }
        let what = self.url.clone();
        Err(ScorerError::Broken { what, message: format!("{failure}, {TRIES} times") })
    }
}
