#![allow(clippy::unwrap_used)]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use slam_recipe::source::OpenAi;

use super::*;

#[test]
fn any_command_can_speak_and_a_silent_one_is_an_error() {
    let speaker = |command: &str| Speaker::new(Engine::Command(command.into()), None);
    assert_eq!(speaker("cat").speak("hello", "en").unwrap(), b"hello\n");
    let error = speaker("echo no voice >&2; exit 3").speak("hello", "en").unwrap_err();
    assert!(error.to_string().contains("no voice") && !error.concerns_all(), "{error}");
    let error = speaker("nonesuch-tts --stdout").speak("hello", "en").unwrap_err();
    assert!(error.to_string().contains("nonesuch-tts") && error.concerns_all(), "{error}");
}

#[test]
fn a_command_gets_voice_text_and_file_each_as_one_word() {
    let speaker = |command: &str| Speaker::new(Engine::Command(command.into()), None);
    let text = "it's {voice} $HOME; `x`";
    let audio = speaker("printf %s:%s {voice} {text}").speak(text, "a b").unwrap();
    assert_eq!(String::from_utf8(audio).unwrap(), format!("a b:{text}"));
    assert_eq!(speaker("cat > {out}; echo talk").speak("hello", "en").unwrap(), b"hello\n");
    assert!(speaker("true > /dev/null {out}").speak("hello", "en").is_err());
    assert_eq!(speaker("awk '{print $1}'").speak("one two", "en").unwrap(), b"one\n");
}

/// Serves OpenAI's speech API. Answers with the given statuses, one per request, and returns the text as
/// its audio. Returns the server's address and the requests that it received.
fn server(statuses: &'static [u16]) -> (String, thread::JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handle = thread::spawn(move || {
        let mut requests = Vec::new();
        for status in statuses {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some((_, n)) = line.to_lowercase().split_once("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let audio = body["input"].as_str().unwrap().to_owned();
            requests.push((head.lines().next().unwrap().to_owned(), body));
            let mut stream = stream;
            write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{audio}",
                audio.len()
            )
            .unwrap();
        }
        requests
    });
    (url, handle)
}

fn speaker(url: &str) -> Speaker {
    let server = OpenAi { url: Some(url.to_owned()), model: "kokoro".to_owned(), speed: Some(1.5) };
    Speaker::new(Engine::OpenAi(server), None)
}

#[test]
fn a_server_of_openais_speech_api_speaks_and_a_busy_one_is_asked_again() {
    let (url, requests) = server(&[503, 200, 200]);
    let speaker = speaker(&format!("{url}/v1/"));
    assert_eq!(speaker.speak("hello", "af_heart").unwrap(), b"hello");
    assert_eq!(speaker.speak("again", "bf_emma").unwrap(), b"again");
    let requests = requests.join().unwrap();
    assert_eq!(requests[1].0, "POST /v1/audio/speech HTTP/1.1");
    let expected = serde_json::json!({
        "model": "kokoro", "input": "hello", "voice": "af_heart", "response_format": "wav", "speed": 1.5,
    });
    assert_eq!(requests[1].1, expected);
    assert_eq!(requests[2].1["voice"], "bf_emma");
}

#[test]
fn a_server_that_refuses_says_what_to_do() {
    for (statuses, named, all) in [
        (&[401][..], "OPENAI_API_KEY", true),
        (&[404], "check the url", true),
        (&[422], "status 422: hello", false),
    ] {
        let (url, _requests) = server(statuses);
        let error = speaker(&url).speak("hello", "v").unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(error.concerns_all(), all);
    }
}

#[test]
fn an_engine_is_written_as_pipelines_write_it() {
    let read = |text: &str| serde_json::from_str::<Engine>(text).unwrap();
    assert_eq!(read("\"slam-speak\""), Engine::SlamSpeak);
    assert_eq!(read("{\"command\": \"x\"}"), Engine::Command("x".into()));
    let server = OpenAi { url: None, model: "kokoro".into(), speed: None };
    assert_eq!(read("{\"openai\": {\"model\": \"kokoro\"}}"), Engine::OpenAi(server));
    assert!(serde_json::from_str::<Engine>("{\"openai\": {\"modle\": \"kokoro\"}}").is_err());
}
