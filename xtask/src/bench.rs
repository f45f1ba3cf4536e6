//! `cargo xtask bench`: a part of the project beside its peer in Python, on the same input in the same run.
//!
//! A benchmark is a bench target of a crate and a Python script beside it. Both get a folder in
//! `SLAM_BENCH` and print one JSON object a line for every figure:
//!
//! ```json
//! {"name": "FLAC 44.1 kHz", "value": 1.25, "unit": "audio-hours/s"}
//! ```
//!
//! `"better": "less"` marks figures such as seconds or bytes, `"at_least": 1.5` the ratio that the project
//! promises. Figures are joined by name; of several rounds the best one counts. Everything else that the
//! programs say goes to the terminal.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use slam_commands::build::{self, ALLOCATOR};
use slam_recipe::device::{DeviceSpec, Devices};

/// Names the Python with the packages of `tests/requirements.txt`.
const PYTHON: &str = "SLAM_PYTHON";
/// Where both programs find and keep their files.
const FOLDER: &str = "SLAM_BENCH";

/// Speed of a part of the project, against its peer in Python
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// Audio-hours a second of ingest, against soundfile and soxr
    Ingest(Options),
    /// Resampling to 16 kHz, against soxr (and torchaudio); the other steps of ingest alone
    Resample(Options),
    /// Audio-seconds a second of HuBERT and k-means, against transformers
    Units(Options),
    /// Tokens a second of pre-training, against transformers and torch's AdamW
    Train(Options),
    /// The decoder at the recipe's size: logits in f32 and bf16, memory of loading, against transformers
    Model(Options),
    /// Scores of sWUGGY's test set in size under the demo's model, against transformers
    Evaluate(Options),
    /// Tokens a second of greedy generation at the recipe's size, against transformers
    Generate(Options),
}

#[derive(clap::Args)]
struct Options {
    /// How often both programs run, in turn; the best figures count
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Compile, and make the input, without measuring
    #[arg(long)]
    prepare_only: bool,
    /// Exit with 1 where a promised ratio is missed
    #[arg(long)]
    check: bool,
    /// Arguments for both programs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// A bench target and its peer.
struct Target {
    name: &'static str,
    package: &'static str,
    bench: &'static str,
    /// The script, relative to the workspace. With `--prepare` it makes the input of both programs.
    peer: &'static str,
}

const INGEST: Target = Target {
    name: "ingest",
    package: "slam-corpus",
    bench: "ingest",
    peer: "crates/slam-corpus/benches/ingest_peer.py",
};

const UNITS: Target = Target {
    name: "units",
    package: "slam-units",
    bench: "units",
    peer: "crates/slam-units/benches/units_peer.py",
};

const TRAIN: Target = Target {
    name: "train",
    package: "slam-train",
    bench: "train",
    peer: "crates/slam-train/benches/train_peer.py",
};

const MODEL: Target = Target {
    name: "model",
    package: "slam-lm",
    bench: "model",
    peer: "crates/slam-lm/benches/model_peer.py",
};

const GENERATE: Target = Target {
    name: "generate",
    package: "slam-lm",
    bench: "generate",
    peer: "crates/slam-lm/benches/generate_peer.py",
};

const EVALUATE: Target = Target {
    name: "evaluate",
    package: "slam-eval",
    bench: "evaluate",
    peer: "crates/slam-eval/benches/evaluate_peer.py",
};

const RESAMPLE: Target = Target {
    name: "resample",
    package: "slam-audio",
    bench: "stages",
    peer: "crates/slam-audio/benches/resample_peer.py",
};

/// One line of a program.
#[derive(Clone, Debug, Deserialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
    #[serde(default)]
    better: Better,
    #[serde(default)]
    at_least: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    #[default]
    More,
    Less,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (target, options) = match &arguments.bench {
        Bench::Ingest(options) => (INGEST, options),
        Bench::Resample(options) => (RESAMPLE, options),
        Bench::Units(options) => (UNITS, options),
        Bench::Train(options) => (TRAIN, options),
        Bench::Model(options) => (MODEL, options),
        Bench::Generate(options) => (GENERATE, options),
        Bench::Evaluate(options) => (EVALUATE, options),
    };
    let folder = build::workspace().join("target/bench").join(target.name);
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    let python = env::var_os(PYTHON);
    if python.is_none() {
        eprintln!("{PYTHON} names no Python: without its peer, and on what input the bench makes");
    }
    let peer = python.map(|python| {
        let mut command = Vec::from([python]);
        command.push(build::workspace().join(target.peer).into_os_string());
        command
    });
    let start = |words: &[OsString]| {
        let mut command = Command::new(&words[0]);
        build::outside_cargo(&mut command)
            .args(&words[1..])
            .args(&options.arguments)
            .env(FOLDER, &folder);
        // Our programs run as the commands run the worker; others don't know these variables.
        for (name, value) in ALLOCATOR {
            if env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        command
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut ours: Vec<OsString> = vec![cargo];
    ours.extend(["bench", "-p", target.package, "--bench", target.bench].map(Into::into));
    // The features of one build for all come in with the worker, whose package has no such bench.
    let asked = build::features(&Devices::from(DeviceSpec::Cpu));
    if !asked.is_empty() {
        let features: Vec<String> =
            asked.iter().map(|f| format!("{}/{f}", build::PACKAGE)).collect();
        ours.extend(["-p", build::PACKAGE, "--features"].map(Into::into));
        ours.push(features.join(",").into());
    }
    let mut build = Command::new(&ours[0]);
    let status = build::outside_cargo(&mut build)
        .args(&ours[1..])
        .arg("--no-run")
        .current_dir(build::workspace())
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("failed to build the bench {} of {}", target.bench, target.package);
    }
    ours.push("--".into());
    if let Some(peer) = &peer {
        let status = start(peer).arg("--prepare").status().context("failed to run Python")?;
        if !status.success() {
            bail!("{} --prepare failed; its message is above", target.peer);
        }
    }
    if options.prepare_only {
        return Ok(());
    }
    let (mut mine, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..options.rounds.max(1) {
        mine.take(start(&ours).current_dir(build::workspace()), target.bench)?;
        if let Some(peer) = &peer {
            theirs.take(&mut start(peer), target.peer)?;
        }
    }
    let missed = mine.print(&theirs);
    if options.check && !missed.is_empty() {
        bail!("below the promised ratio: {}", missed.join(", "));
    }
    Ok(())
}

/// The figures of a program, in the order in which it names them.
#[derive(Default)]
struct Figures {
    order: Vec<String>,
    best: BTreeMap<String, Figure>,
}

impl Figures {
    /// Runs a program and takes its figures.
    fn take(&mut self, command: &mut Command, name: &str) -> anyhow::Result<()> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let lines = child.stdout.take().context("it has no output")?;
        for line in BufReader::new(lines).lines() {
            let line = line.with_context(|| format!("failed to read from {name}"))?;
            match serde_json::from_str(&line) {
                Ok(figure) => self.add(figure),
                Err(_) => eprintln!("{line}"),
            }
        }
        let status = child.wait().with_context(|| format!("failed to wait for {name}"))?;
        if !status.success() {
            bail!("{name} failed ({status}); its message is above");
        }
        Ok(())
    }

    fn add(&mut self, figure: Figure) {
        match self.best.get_mut(&figure.name) {
            None => {
                self.order.push(figure.name.clone());
                self.best.insert(figure.name.clone(), figure);
            }
            Some(best) => {
                let better = match figure.better {
                    Better::More => figure.value > best.value,
                    Better::Less => figure.value < best.value,
                };
                if better {
                    *best = figure;
                }
            }
        }
    }

    /// Prints every figure beside the peer's; gives the names of those below what is promised.
    fn print(&self, peer: &Self) -> Vec<String> {
        let width = self.order.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(9);
        println!("{:width$}  {:>12}  {:>12}  {:>7}  unit", "benchmark", "slam", "peer", "ratio");
        let mut missed = Vec::new();
        for figure in self.order.iter().filter_map(|name| self.best.get(name)) {
            let other = peer.best.get(&figure.name).map(|f| f.value);
            let ratio = other.map(|other| match figure.better {
                Better::More => figure.value / other,
                Better::Less => other / figure.value,
            });
            let text = |value: Option<f64>| value.map_or("–".to_owned(), short);
            let promise = match (figure.at_least, ratio) {
                (Some(least), Some(ratio)) if ratio < least => {
                    missed.push(figure.name.clone());
                    format!("  (below {least}×)")
                }
                (Some(least), _) => format!("  (at least {least}×)"),
                _ => String::new(),
            };
            println!(
                "{:width$}  {:>12}  {:>12}  {:>7}  {}{promise}",
                figure.name,
                short(figure.value),
                text(other),
                ratio.map_or("–".to_owned(), |r| format!("{r:.2}×")),
                figure.unit,
            );
        }
        missed
    }
}

/// A number with three digits that matter.
fn short(value: f64) -> String {
    let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_best_of_several_rounds_counts_and_a_missed_promise_is_named() {
        let figures = |lines: &[&str]| {
            let mut figures = Figures::default();
            for line in lines {
                figures.add(serde_json::from_str(line).unwrap());
            }
            figures
        };
        let mine = figures(&[
            r#"{"name": "a", "value": 2.0, "unit": "h/s", "at_least": 1.5}"#,
            r#"{"name": "b", "value": 9.0, "unit": "s", "better": "less", "at_least": 2.0}"#,
            r#"{"name": "a", "value": 3.0, "unit": "h/s", "at_least": 1.5}"#,
            r#"{"name": "b", "value": 8.0, "unit": "s", "better": "less", "at_least": 2.0}"#,
            r#"{"name": "alone", "value": 8.0, "unit": "s", "at_least": 2.0}"#,
        ]);
        let peer = figures(&[
            r#"{"name": "a", "value": 2.0, "unit": "h/s"}"#,
            r#"{"name": "b", "value": 12.0, "unit": "s", "better": "less"}"#,
        ]);
        assert_eq!((mine.best["a"].value, mine.best["b"].value), (3.0, 8.0));
        assert_eq!(mine.print(&peer), ["b"]);
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([1234.5, 12.345, 0.012_345].map(short), ["1234", "12.3", "0.0123"]);
    }
}
