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
    let stage = checkpoint.parent();
    let run = stage.and_then(Path::parent);
    let datasets =
        run.and_then(|r| json(r.join("run.json"))).map(|r| r["pipeline"]["datasets"].clone());
    let datasets = datasets.as_ref().and_then(Value::as_array).into_iter().flatten();
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
    if let Some(s) = stage.and_then(|s| json(s.join("summary.json"))) {
        let spent = &s["spent"];
        add(
            "Training",
            vec![format!(
                "{} steps, {} tokens, {:.0} s",
                spent["steps"],
                spent["tokens"],
                spent["seconds"].as_f64().unwrap_or_default()
            )],
        );
    }
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
