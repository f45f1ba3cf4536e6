//! Model cards.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A model card from what lies around a checkpoint of a run: data, tokeniser, budget and scores.
pub(crate) fn of(checkpoint: &Path) -> String {
    let json =
        |path: PathBuf| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let mut card = String::from(
        "---\nlibrary_name: transformers\ntags: [speech, speech-language-model]\n---\n\n# A speech language model over discrete units\n\nTrained with Slam.\n",
    );
    let mut add = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(card, "\n## {title}\n");
            for line in lines {
                let _ = writeln!(card, "- {line}");
            }
        }
    };
    if let Some(t) = json(checkpoint.join("tokeniser.json")) {
        add(
            "Tokeniser",
            vec![format!(
                "{}: {} units, {} frames a second, identity `{}`",
                t["name"].as_str().unwrap_or_default(),
                t["k"],
                t["units_per_second"],
                t["identity"].as_str().unwrap_or_default()
            )],
        );
    }
    if let Some(c) = json(checkpoint.join("config.json")) {
        let base = if c["base_config"].is_object() { &c["base_config"] } else { &c };
        let said = |key: &str| base[key].as_u64().unwrap_or_default();
        add(
            "Model",
            vec![format!(
                "{}: {} blocks of width {}, {} tokens (`<PAD>` 0, `<S>` 1 at both ends of a sequence, unit *u* is *u* + 2)",
                base["model_type"].as_str().unwrap_or_default(),
                said("num_hidden_layers"),
                said("hidden_size"),
                c["vocab_size"]
            )],
        );
    }
    let stage = checkpoint.parent();
    let run = stage.and_then(Path::parent);
    let file = run.and_then(|r| json(r.join("run.json"))).unwrap_or_default();
    let datasets = file["pipeline"]["datasets"].as_array().into_iter().flatten();
    add(
        "Data",
        datasets
            .map(|d| {
                let licence =
                    d["licence"].as_str().filter(|l| !l.is_empty()).unwrap_or("licence unknown");
                format!("{} ({licence})", d["name"].as_str().unwrap_or_default())
            })
            .collect(),
    );
    let name = stage.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    // A model of preference optimisation was pre-trained first.
    let before = (name == "dpo").then_some("pretrain");
    let trained = before.into_iter().chain([&*name]).filter_map(|stage| {
        let spent = json(run?.join(stage).join("summary.json"))?["spent"].take();
        let table = if stage == "pretrain" { "train" } else { stage };
        Some(format!(
            "{stage}: {} steps, {} tokens, {:.0} s{}",
            spent["steps"],
            spent["tokens"],
            spent["seconds"].as_f64().unwrap_or_default(),
            budget(&file["pipeline"][table]["params"]["budget"])
        ))
    });
    add("Training", trained.collect());
    let scores =
        run.and_then(|r| fs::read_dir(r.join("scores")).ok()).into_iter().flatten().flatten();
    let scored = |v: &Value| {
        let path = v["checkpoint"].as_str().map(PathBuf::from);
        path.is_some_and(|p| fs::canonicalize(p).ok() == fs::canonicalize(checkpoint).ok())
    };
    for record in scores.filter_map(|e| json(e.path())).filter(scored) {
        let suites = record["suites"].as_array().cloned().unwrap_or_default();
        add(
            "Scores",
            suites
                .iter()
                .map(|s| {
                    let percent =
                        |field: &str| 100.0 * s["all"][field].as_f64().unwrap_or(f64::NAN);
                    format!(
                        "{}: {:.1} % [{:.1}, {:.1}] of {} pairs ({} convention)",
                        s["suite"].as_str().unwrap_or_default(),
                        percent("share"),
                        percent("low"),
                        percent("high"),
                        s["all"]["pairs"],
                        s["convention"].as_str().unwrap_or_default()
                    )
                })
                .collect(),
        );
    }
    card
}

/// What a stage was given to end with.
fn budget(given: &Value) -> String {
    let Some((name, value)) = given.as_object().and_then(|given| given.iter().next()) else {
        return String::new();
    };
    match value.as_f64() {
        Some(seconds) if name == "seconds" && seconds >= 3600.0 => {
            format!(" of a budget of {:.2} h", seconds / 3600.0)
        }
        _ => format!(" of a budget of {value} {name}"),
    }
}
