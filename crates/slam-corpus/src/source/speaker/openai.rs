//! A client of OpenAI's speech API: `POST /v1/audio/speech` with `model`, `input`, `voice` and
//! `response_format`, answered by an audio file. Kokoro's server and other local servers use the same API.

use std::env;
use std::thread;
use std::time::Duration;

use serde_json::json;
use slam_recipe::source::OpenAi;

use super::error::{MAX_WAV_BYTES, SpeechError};

/// The waits between tries.
const WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
];

/// The environment variable that names a server.
const URL: &str = "SLAM_TTS_URL";
/// The environment variable that holds the key of a server that requires one.
const API_KEY: &str = "OPENAI_API_KEY";

pub(super) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        // A slow server on a CPU needs minutes for a long text.
        .timeout_global(Some(Duration::from_mins(10)))
        .build()
        .new_agent()
}

/// The result of one try.
enum Answer {
    Audio(Vec<u8>),
    /// Another try may succeed.
    Busy(String),
    Refused(SpeechError),
}

/// Has a server speak a text; `server` is tried again where it is busy.
pub(super) fn speak(
    server: &OpenAi,
    agent: &ureq::Agent,
    text: &str,
    voice: &str,
) -> Result<Vec<u8>, SpeechError> {
    let base = match &server.url {
        Some(url) => url.clone(),
        None => env::var(URL).map_err(|_| SpeechError::Server {
            url: "?".to_owned(),
            message: format!(
                "no address: write engine.openai.url in the source, or set {URL}, e.g. \
                 http://localhost:8880"
            ),
        })?,
    };
    let base = base.trim_end_matches('/').trim_end_matches("/v1");
    let url = format!("{base}/v1/audio/speech");
    let mut body = json!({
        "model": server.model, "input": text, "voice": voice, "response_format": "wav",
    });
    if let (Some(speed), Some(body)) = (server.speed, body.as_object_mut()) {
        body.insert("speed".to_owned(), json!(speed));
    }
    let mut last = String::new();
    for wait in [Duration::ZERO].iter().chain(&WAITS) {
        thread::sleep(*wait);
        match ask(agent, &url, &body) {
            Answer::Audio(audio) => return Ok(audio),
            Answer::Refused(error) => return Err(error),
            Answer::Busy(message) => last = message,
        }
    }
    let message = format!("{last}; is it running? ({} tries)", WAITS.len() + 1);
    Err(SpeechError::Server { url, message })
}

fn ask(agent: &ureq::Agent, url: &str, body: &serde_json::Value) -> Answer {
    let mut request = agent.post(url);
    if let Ok(key) = env::var(API_KEY) {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let mut response = match request.send_json(body) {
        Ok(response) => response,
        Err(e) => return Answer::Busy(e.to_string()),
    };
    let status = response.status().as_u16();
    let audio = response.body_mut().with_config().limit(u64::from(MAX_WAV_BYTES)).read_to_vec();
    let audio = match audio {
        Ok(audio) => audio,
        Err(e) => return Answer::Busy(e.to_string()),
    };
    let server =
        |message: String| Answer::Refused(SpeechError::Server { url: url.to_owned(), message });
    let refusal = || {
        let text = String::from_utf8_lossy(&audio[..audio.len().min(500)]).into_owned();
        format!("status {status}: {}", text.trim())
    };
    match status {
        200 if audio.is_empty() => {
            Answer::Refused(SpeechError::Text("the server sent no audio".to_owned()))
        }
        200 => Answer::Audio(audio),
        401 | 403 => server(format!("{}; set {API_KEY}", refusal())),
        404 | 405 => {
            server(format!("{}; it has no OpenAI speech API there, check the url", refusal()))
        }
        408 | 429 | 500..=599 => Answer::Busy(refusal()),
        _ => Answer::Refused(SpeechError::Text(format!("the server answers {}", refusal()))),
    }
}
