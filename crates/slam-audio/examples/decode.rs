//! Any audio file as 16 kHz mono FLAC.
//!
//! ```sh
//! cargo run --release --example decode -- INPUT OUTPUT.flac
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use slam_audio::{RATE_HZ, decode_file, flac, resample, to_pcm16};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: decode INPUT OUTPUT.flac");
        return ExitCode::from(2);
    };
    match convert(Path::new(input), Path::new(output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}: {e}", Path::new(input).display());
            let mut cause = e.source();
            while let Some(e) = cause {
                eprintln!("  because: {e}");
                cause = e.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn convert(input: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let audio = decode_file(input)?;
    for warning in &audio.warnings {
        eprintln!("{}: {warning}", input.display());
    }
    let samples = resample(audio.samples, audio.rate_hz)?;
    std::fs::write(output, flac::encode(&to_pcm16(&samples), RATE_HZ))?;
    let seconds = samples.len() as f64 / f64::from(RATE_HZ);
    println!("{}: {seconds:.2} s from {} Hz", output.display(), audio.rate_hz);
    Ok(())
}
