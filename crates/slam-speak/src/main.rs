//! Text to 16-bit speech over stdin and stdout, by eSpeak NG's Rust port: see the README for the protocol.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use espeak_ng::{EspeakNg, Parameter};
use serde::Deserialize;

/// The length that announces a message in place of a WAV file.
const FAILED: u32 = u32::MAX;

/// One line of input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    text: String,
    #[serde(default = "english")]
    voice: String,
    /// Words per minute, 80 to 450.
    rate_wpm: Option<i32>,
    /// 0 to 100.
    pitch: Option<i32>,
}

fn english() -> String {
    "en".to_owned()
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("slam-speak: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let data = install()?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        match speak(&line, &data) {
            Ok(wav) => {
                out.write_all(&(wav.len() as u32).to_le_bytes())?;
                out.write_all(&wav)?;
            }
            Err(e) => {
                let message = e.to_string();
                out.write_all(&FAILED.to_le_bytes())?;
                out.write_all(&(message.len() as u32).to_le_bytes())?;
                out.write_all(message.as_bytes())?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn speak(line: &str, data: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let request: Request = serde_json::from_str(line)?;
    // A new engine a line: no state of one utterance can reach the next.
    let mut engine = EspeakNg::with_data_dir(&request.voice, data)?;
    if let Some(rate) = request.rate_wpm {
        engine.set_parameter(Parameter::Rate, rate);
    }
    if let Some(pitch) = request.pitch {
        engine.set_parameter(Parameter::Pitch, pitch);
    }
    let (samples, rate_hz) = engine.synth(&request.text)?;
    Ok(wav(&samples, rate_hz)?)
}

/// A RIFF WAVE file of 16-bit mono samples.
fn wav(samples: &[i16], rate_hz: u32) -> Result<Vec<u8>, hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut out = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut out, spec)?;
    samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
    writer.finalize()?;
    Ok(out.into_inner())
}

/// Unpacks the engine's data into the user's cache, once a version, and returns its folder. It is put in place
/// by one rename, so that processes that start together do not meet half of it.
fn install() -> io::Result<PathBuf> {
    let home = || env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let root = cache.unwrap_or_else(env::temp_dir).join("slam-speak");
    let folder = root.join(concat!("espeak-ng-en-", env!("CARGO_PKG_VERSION")));
    if folder.is_dir() {
        return Ok(folder);
    }
    let staged = root.join(format!("unpacking-{}", std::process::id()));
    let _ = fs::remove_dir_all(&staged);
    fs::create_dir_all(&staged)?;
    espeak_ng::install_bundled_language(&staged, "en")?;
    if let Err(e) = fs::rename(&staged, &folder) {
        let _ = fs::remove_dir_all(&staged);
        // Another process was faster.
        if !folder.is_dir() {
            return Err(e);
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_sound_and_nonsense_becomes_a_message() -> Result<(), Box<dyn Error>> {
        let data = install()?;
        let wav = speak(r#"{"text": "The cat sleeps."}"#, &data)?;
        let seconds = (wav.len() - 44) as f64 / 44_100.0;
        assert!((0.5..3.0).contains(&seconds), "{seconds} s");
        assert_eq!(wav, speak(r#"{"text": "The cat sleeps."}"#, &data)?, "same text, same bytes");
        assert!(speak("not json", &data).is_err());
        Ok(())
    }
}
