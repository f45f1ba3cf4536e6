//! Tests generative metrics against a stub that uses the services' protocol.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use slam_recipe::evaluation::Service;

use super::*;

/// A request as the stub received it.
#[derive(Clone)]
struct Seen {
    path: String,
    headers: String,
    body: Vec<u8>,
}

type Answers = dyn Fn(&Seen) -> (u16, Value) + Send;

/// Serves one request per connection, and keeps what it received.
fn stub(answer: Box<Answers>) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().to_owned();
            let (mut headers, mut length, mut chunked) = (String::new(), 0, false);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                let lower = line.to_lowercase();
                if let Some(n) = lower.strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                chunked |= lower.starts_with("transfer-encoding:");
                headers.push_str(&lower);
            }
            assert!(!chunked, "simple servers read no chunks");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let request = Seen { path, headers, body };
            let (status, json) = answer(&request);
            log.lock().unwrap().push(request);
            let json = json.to_string();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{json}",
                json.len()
            )
            .unwrap();
        }
    });
    (url, seen)
}

/// Transcribes to the words after the WAV header. Gives the words after the first the log-probabilities -1,
/// -2, … nats.
fn honest(request: &Seen) -> (u16, Value) {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    if request.path.ends_with("/audio/transcriptions") {
        let words = text.split("RIFF").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
        return (200, json!({"text": format!(" {words} ")}));
    }
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&body["echo"], &body["model"]), (&json!(true), &json!("llama")));
    let words = body["prompt"].as_str().unwrap().split(' ').count();
    let mut nlls = vec![Value::Null];
    nlls.extend((1..words).map(|i| json!(-(i as f64))));
    nlls.push(json!(-99.0));
    let answer = json!({"choices": [{"logprobs": {"token_logprobs": nlls}}],
        "usage": {"completion_tokens": 1}});
    (200, answer)
}

fn services(url: &str, vocoder: &str) -> Services {
    let service = |model: &str| Service { url: url.into(), model: model.into(), key_from: None };
    Services {
        vocoder: vocoder.into(),
        transcription: service("whisper"),
        completion: service("llama"),
    }
}

fn continuation(units: &[u16]) -> Continuation {
    Continuation { prompt: "p.wav".into(), prompt_units: vec![1], units: units.to_vec() }
}

/// A vocoder whose "sound" is a sentence with as many words as there are units.
const WORDS: &str = r"printf RIFF; tr -cd '0-9,' | tr ',' ' '";

#[test]
fn continuations_are_vocoded_transcribed_and_scored() {
    let (url, seen) = stub(Box::new(honest));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("generative.jsonl");
    let samples = [continuation(&[2, 3]), continuation(&[4, 5, 6]), continuation(&[])];
    let measure = || {
        let bleu = |text: &str| if text.contains('6') { 0.5 } else { 0.0 };
        super::measure(&samples, &services(&url, WORDS), &bleu, &out, &mut |_| {}).unwrap()
    };
    let measured = measure();
    let texts: Vec<_> = measured.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["1 2 3", "1 4 5 6", "1"]);
    assert_eq!(measured.iter().map(|m| m.nll).collect::<Vec<_>>(), [Some(1.5), Some(2.0), None]);
    let figures = summarise(&measured);
    assert_eq!((figures.samples, figures.silent), (3, 1));
    assert!((figures.gen_ppl.unwrap()[0] - 1.75f64.exp()).abs() < 1e-12);
    assert!((figures.auto_bleu2[0] - 50.0 / 3.0).abs() < 1e-12);
    let asked = seen.lock().unwrap().len();
    let form = seen.lock().unwrap()[0].clone();
    assert!(form.headers.contains("multipart/form-data; boundary=slam-"), "{}", form.headers);
    let body = String::from_utf8_lossy(&form.body).into_owned();
    assert!(body.contains("name=\"model\"\r\n\r\nwhisper\r\n") && body.contains("filename="));
    // A second call with the same input sends no requests.
    assert_eq!(measure(), measured);
    assert_eq!(seen.lock().unwrap().len(), asked);
}

#[test]
fn a_busy_service_is_asked_again_and_a_refusal_is_said() {
    let (url, seen) = stub(Box::new(|request| match request.path.as_str() {
        "/v1/completions" => (400, json!({"error": "no echo here"})),
        _ => (200, json!({"text": "hello there"})),
    }));
    let service = Service { url, model: "m".into(), key_from: None };
    let error = service.token_nlls("hello there").unwrap_err().to_string();
    assert!(error.contains("400") && error.contains("no echo here"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1, "a refusal is final");
    let calls = Arc::new(Mutex::new(0));
    let (url, _) = stub(Box::new(move |_| {
        *calls.lock().unwrap() += 1;
        if *calls.lock().unwrap() == 1 { (503, json!({})) } else { (200, json!({"text": "x"})) }
    }));
    let service = Service { url, model: "m".into(), key_from: None };
    assert_eq!(service.transcribe(b"RIFF").unwrap(), "x");
}

#[test]
fn what_is_missing_is_named() {
    let (url, _) = stub(Box::new(|_| (200, json!({"choices": [{"text": "x"}]}))));
    let service = Service { url: url.clone(), model: "m".into(), key_from: None };
    let error = service.token_nlls("a b").unwrap_err().to_string();
    assert!(error.contains("token_logprobs"), "{error}");
    let keyless = Service { key_from: Some("SLAM_TEST_NO_SUCH_KEY".into()), ..service };
    assert!(keyless.transcribe(b"RIFF").unwrap_err().to_string().contains("SLAM_TEST_NO_SUCH_KEY"));
    let vocoder = CommandVocoder::new("echo no sound >&2; exit 3");
    assert!(vocoder.speak(&[1]).unwrap_err().to_string().contains("no sound"));
    let vocoder = CommandVocoder::new("cat");
    assert!(vocoder.speak(&[1]).unwrap_err().to_string().contains("no WAV file"));
}
