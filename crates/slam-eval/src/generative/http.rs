//! Services that use OpenAI's protocol.

use std::env;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use slam_recipe::Key;
use slam_recipe::evaluation::Service;

/// The most time that a service may take for one sample.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How many times a sample is tried if a service is busy or unreachable.
const TRIES: u32 = 4;

/// A service that does not answer as its protocol says.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service cannot be reached.
    #[error("{url} cannot be reached: {message}; is the service running?")]
    Reach {
        /// The address.
        url: String,
        /// Why it cannot be reached.
        message: String,
    },
    /// The service refuses the request.
    #[error("{url} answered {status}: {message}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The answer's message.
        message: String,
    },
    /// The answer does not have the form that the protocol requires.
    #[error("{url} answered without {missing}: {answer}")]
    Answer {
        /// The address.
        url: String,
        /// What is missing.
        missing: &'static str,
        /// The beginning of the answer.
        answer: String,
    },
    /// The environment variable of the key is not set.
    #[error("{url} wants a key from the environment variable {variable}, which is not set")]
    Key {
        /// The address.
        url: String,
        /// The variable.
        variable: String,
    },
}

/// What is asked of a service.
pub trait Ask {
    /// The transcript of a WAV file (`audio/transcriptions`), without blanks at its ends.
    ///
    /// # Errors
    /// If the service cannot be reached, refuses, or answers otherwise.
    fn transcribe(&self, wav: &[u8]) -> Result<String, ServiceError>;

    /// Negative log-likelihoods in nats of a text's tokens but the first, which nothing is before
    /// (`completions` with `echo`). A text of fewer than two tokens has none.
    ///
    /// # Errors
    /// If the service cannot be reached, refuses, or gives no log-probabilities.
    fn token_nlls(&self, text: &str) -> Result<Vec<f64>, ServiceError>;
}

fn address(service: &Service, path: &str) -> String {
    format!("{}/{path}", service.url.trim_end_matches('/'))
}

impl Ask for Service {
    fn transcribe(&self, wav: &[u8]) -> Result<String, ServiceError> {
        // A boundary must not occur in the content that it separates.
        let boundary = format!("slam-{}", Key::of_bytes(wav).as_str());
        let mut body = Vec::new();
        for (name, value) in
            [("model", self.model.as_str()), ("response_format", "json"), ("temperature", "0")]
        {
            body.extend_from_slice(
                format!(
                    "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .as_bytes(),
            );
        }
        body.extend_from_slice(
            format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"sample.wav\"\r\n\
                 content-type: audio/wav\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(wav);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let url = address(self, "audio/transcriptions");
        let kind = format!("multipart/form-data; boundary={boundary}");
        let answer = post(self, &url, &kind, &body)?;
        match answer["text"].as_str() {
            Some(text) => Ok(text.trim().to_owned()),
            None => Err(missing(url, "a \"text\"", &answer)),
        }
    }

    fn token_nlls(&self, text: &str) -> Result<Vec<f64>, ServiceError> {
        if text.is_empty() {
            return Ok(vec![]);
        }
        let url = address(self, "completions");
        // Some servers refuse to generate nothing, so that one token is asked for, and left out below.
        let request = json!({
            "model": self.model,
            "prompt": text,
            "max_tokens": 1,
            "temperature": 0,
            "echo": true,
            "logprobs": 1,
        });
        let answer = post(self, &url, "application/json", request.to_string().as_bytes())?;
        let choice = &answer["choices"][0];
        let Some(all) = choice["logprobs"]["token_logprobs"].as_array() else {
            return Err(missing(url, "choices[0].logprobs.token_logprobs", &answer));
        };
        let new = answer["usage"]["completion_tokens"].as_u64().unwrap_or(1) as usize;
        let prompt = &all[..all.len().saturating_sub(new)];
        // The first token has none, because no token comes before it.
        let nlls = prompt.iter().skip_while(|v| v.is_null()).map(|v| v.as_f64().map(|p| -p));
        nlls.collect::<Option<Vec<f64>>>()
            .ok_or_else(|| missing(url, "a number for each token", &answer))
    }
}

fn post(service: &Service, url: &str, kind: &str, body: &[u8]) -> Result<Value, ServiceError> {
    let key =
        match &service.key_from {
            None => None,
            Some(variable) => Some(env::var(variable).map_err(|_| ServiceError::Key {
                url: url.to_owned(),
                variable: variable.clone(),
            })?),
        };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match send(&agent, url, kind, key.as_deref(), body) {
            Ok(value) => return Ok(value),
            Err(e) => e,
        };
        let passes = match &error {
            ServiceError::Reach { .. } => true,
            ServiceError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        };
        if !passes || tries == TRIES {
            return Err(error);
        }
        tracing::warn!("{error}; trying again");
        thread::sleep(Duration::from_millis(250 << tries));
    }
}

fn send(
    agent: &ureq::Agent,
    url: &str,
    kind: &str,
    key: Option<&str>,
    body: &[u8],
) -> Result<Value, ServiceError> {
    let reach =
        |e: ureq::Error| ServiceError::Reach { url: url.to_owned(), message: e.to_string() };
    let mut request = agent.post(url).header("content-type", kind);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let mut response = request.send(body).map_err(reach)?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(reach)?;
    if !(200..300).contains(&status) {
        let message = text.chars().take(300).collect();
        return Err(ServiceError::Status { url: url.to_owned(), status, message });
    }
    serde_json::from_str(&text).map_err(|_| ServiceError::Answer {
        url: url.to_owned(),
        missing: "JSON",
        answer: text.chars().take(300).collect(),
    })
}

fn missing(url: String, missing: &'static str, answer: &Value) -> ServiceError {
    ServiceError::Answer { url, missing, answer: answer.to_string().chars().take(300).collect() }
}
