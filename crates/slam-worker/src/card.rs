//! Model cards.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slam_eval::Evaluation;
use slam_recipe::RunFile;
use slam_recipe::pipeline::Dataset;
use slam_recipe::training::Budget;
use slam_train::Summary;

const HEAD: &str = "---\nlibrary_name: transformers\ntags: [speech, speech-language-model]\n---\n\n\
                    # A speech language model over discrete units\n\nTrained with Slam.\n";

/// A model card from what lies around a checkpoint of a run: data, tokeniser, budget and scores. What is not there
/// is left out.
pub(crate) fn new(checkpoint: &Path) -> String {
    let stage = checkpoint.parent();
    let run = stage.and_then(Path::parent);
    let stage = stage.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let file = run.and_then(|run| RunFile::read(run).ok());
    let sections = [
        ("Tokeniser", tokeniser(checkpoint)),
        ("Model", model(checkpoint)),
        ("Data", file.iter().flat_map(|f| &f.pipeline.datasets).map(dataset).collect()),
        ("Training", run.map_or_else(Vec::new, |run| training(run, &stage, file.as_ref()))),
        ("Scores", run.map_or_else(Vec::new, |run| scores(run, checkpoint))),
    ];
    let mut card = HEAD.to_owned();
    for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let lines: Vec<_> = lines.iter().map(|line| format!("- {line}\n")).collect();
        let _ = write!(card, "\n## {title}\n\n{}", lines.concat());
    }
    card
}

fn tokeniser(checkpoint: &Path) -> Vec<String> {
    let Ok(Some(info)) = slam_train::tokeniser_of_model(checkpoint) else { return vec![] };
    let (name, k, rate) = (info.name, info.k, info.units_per_second);
    vec![format!("{name}: {k} units, {rate} frames a second, identity `{}`", info.identity)]
}

/// The sizes, from the checkpoint's own configuration: slamkit's form holds the text model's inside.
fn model(checkpoint: &Path) -> Vec<String> {
    let read = || serde_json::from_slice(&fs::read(checkpoint.join("config.json")).ok()?).ok();
    let Some(config): Option<Value> = read() else { return vec![] };
    let base = if config["base_config"].is_object() { &config["base_config"] } else { &config };
    let size = |key: &str| base[key].as_u64().unwrap_or_default();
    vec![format!(
        "{}: {} blocks of width {}, {} tokens (`<PAD>` 0, `<S>` 1 at both ends of a sequence, unit *u* is *u* + 2)",
        base["model_type"].as_str().unwrap_or_default(),
        size("num_hidden_layers"),
        size("hidden_size"),
        config["vocab_size"]
    )]
}

fn dataset(dataset: &Dataset) -> String {
    let licence = match dataset.licence.as_str() {
        "" => "licence unknown",
        licence => licence,
    };
    format!("{} ({licence})", dataset.name)
}

/// A line a stage behind the checkpoint: a model of preference optimisation was pre-trained first.
fn training(run: &Path, stage: &str, file: Option<&RunFile>) -> Vec<String> {
    let before = (stage == "dpo").then_some("pretrain");
    let stages = before.into_iter().chain([stage]);
    let pipeline = file.map(|f| &f.pipeline);
    let budget = |stage: &str| match stage {
        "pretrain" => pipeline?.train.as_ref().map(|t| t.params.budget),
        _ => pipeline?.dpo.as_ref().map(|t| t.params.budget),
    };
    let line = |stage: &str| {
        let bytes = fs::read(run.join(stage).join("summary.json")).ok()?;
        let Summary { spent, .. } = serde_json::from_slice(&bytes).ok()?;
        let budget =
            budget(stage).map_or(String::new(), |b| format!(" of a budget of {}", text(b)));
        let (steps, tokens, seconds) = (spent.steps, spent.tokens, spent.seconds);
        Some(format!("{stage}: {steps} steps, {tokens} tokens, {seconds:.0} s{budget}"))
    };
    stages.filter_map(line).collect()
}

/// A budget in words.
fn text(budget: Budget) -> String {
    match budget {
        Budget::Seconds(s) if s >= 3600.0 => format!("{:.2} h", s / 3600.0),
        Budget::Seconds(s) => format!("{s} seconds"),
        Budget::Steps(n) => format!("{n} steps"),
        Budget::Tokens(n) => format!("{n} tokens"),
        Budget::Epochs(n) => format!("{n} epochs"),
    }
}

/// The scores that were made of this checkpoint.
fn scores(run: &Path, checkpoint: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("scores")).into_iter().flatten().flatten();
    let mut shards: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "parquet"))
        .collect();
    shards.sort();
    let place = |path: &Path| fs::canonicalize(path).ok();
    let records = shards.iter().filter_map(|shard| Evaluation::read(shard).ok());
    let of_checkpoint = records.filter(|e| place(&e.checkpoint) == place(checkpoint));
    of_checkpoint
        .flat_map(|e| e.suites)
        .map(|s| {
            format!(
                "{}: {:.1} % [{:.1}, {:.1}] of {} pairs ({} convention)",
                s.suite,
                100.0 * s.all.share,
                100.0 * s.all.low,
                100.0 * s.all.high,
                s.all.pairs,
                s.convention.name()
            )
        })
        .collect()
}
