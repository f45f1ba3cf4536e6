//! Preference pairs of every source, through the commands.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slam_tests::{Demo, Said, run, wav};

/// A pipeline over the quick demo's stories and tokeniser, whose shards are there, and a dataset of pairs.
const PIPELINE: &str = r#"
name = "pairs"

[[datasets]]
name = "demo-stories"
shards = 3
rows = 120
source = { kind = "grammar", part = "stories", seed = 1 }

[tokeniser]
name = "mfcc-25hz"
features = { kind = "mfcc", hop = 640, filters = 40, coefficients = 13, deltas = 1, slices = 2 }
kmeans = { k = 50, seed = 1, rounds = 8, max_frames = 20000, standardise = true }
fit_on = "demo-stories"
fit_shards = 1

[[datasets]]
name = "pairs"
role = "preference"
"#;

struct Project {
    demo: Demo,
    folder: tempfile::TempDir,
}

impl Project {
    /// A pipeline whose pairs are of a source (TOML).
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pairs.toml"), format!("{PIPELINE}{more}")).unwrap();
        Self { demo: Demo::finished().copy().unwrap(), folder }
    }

    fn prepare(&self, more: &[&str]) -> Said {
        let pipeline = self.folder.path().join("pairs.toml").display().to_string();
        let data = self.demo.data().display().to_string();
        run(&[&["prepare-data", "--pipeline", &pipeline, "--data", &data], more].concat()).unwrap()
    }

    /// Pair shards with their receipts.
    fn pairs(&self) -> Vec<(PathBuf, Value)> {
        let folder = self.demo.data().join("pairs/pair-v1/mfcc-25hz");
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
            .map(|p| {
                let receipt = serde_json::from_slice(&fs::read(&p).unwrap()).unwrap();
                (p.with_extension("parquet"), receipt)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

fn sum(pairs: &[(PathBuf, Value)], of: impl Fn(&Value) -> &Value) -> f64 {
    pairs.iter().map(|(_, receipt)| of(receipt).as_f64().unwrap_or_default()).sum()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn slamkits_lines_become_pair_shards_that_can_be_made_again_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("pairs.jsonl");
    let mut text = String::new();
    for i in 0..40 {
        let repr = |first: usize| json!({"units": [first, i % 50], "duration": [1, 2]});
        let chosen = if i == 7 { "the cat and the cat and the cat" } else { "went home" };
        let line = json!({"prompt_path": format!("{i}.wav"), "prompt": repr(1), "chosen": repr(2),
            "rejected": repr(3), "prompt_text": "A man", "chosen_text": chosen});
        writeln!(text, "{line}").unwrap();
    }
    text.push_str("{\"prompt_path\": \"no units\"}\n");
    fs::write(&lines, text).unwrap();
    let source = format!(
        "shards = 2\nsource = {{ kind = \"slamkit-pairs\", folder = {:?}, units_of = \"demo-stories\" }}\n",
        lines.display().to_string()
    );
    let project = Project::new(&source);
    let said = project.prepare(&[]);
    assert_eq!(said.code, Some(3), "one of 41 is more than a hundredth: {}", said.stderr);
    let said = project.prepare(&["--max-bad-fraction", "0.1"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let pairs = project.pairs();
    assert_eq!(pairs.len(), 2);
    assert_eq!(sum(&pairs, |r| &r["rows"]), 39.0);
    assert_eq!(sum(&pairs, |r| &r["totals"]["filtered"]), 1.0);
    assert_eq!(sum(&pairs, |r| &r["quarantined"]), 1.0);
    let before = bytes(&pairs[1].0);
    fs::remove_file(&pairs[1].0).unwrap();
    let said = project.prepare(&["--max-bad-fraction", "0.1", "--dataset", "pairs"]);
    assert!(said.stdout.contains("1 shards made, 1 were up to date"), "{}", said.stdout);
    assert_eq!(bytes(&pairs[1].0), before);
}

#[test]
fn stories_give_pairs_without_labels() {
    let source = "source = { kind = \"own-continuation\", of = \"demo-stories\", seed = 1 }\n";
    let project = Project::new(source);
    let said = project.prepare(&["--jobs", "2"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("3 shards made"), "only the pairs were missing: {}", said.stdout);
    let pairs = project.pairs();
    let rows = sum(&pairs, |r| &r["rows"]);
    assert!(pairs.len() == 3 && rows > 100.0, "{rows} pairs of 117 stories");
    let before: Vec<_> = pairs.iter().map(|p| bytes(&p.0)).collect();
    let said = project.prepare(&["--jobs", "1", "--stage", "pair", "--force"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(before, pairs.iter().map(|p| bytes(&p.0)).collect::<Vec<_>>());
}

#[test]
fn a_models_own_continuations_are_ranked_by_a_command() {
    // The scorer likes what begins with a high unit.
    let source = r#"
[datasets.source]
kind = "sampled"
of = "demo-stories"
checkpoint = "CHECKPOINT"
scorer = { command = 'while read -r l; do c=${l#*continuation\":\[}; echo ${c%%[],]*}; done', version = "1" }
prompts = 4
samples = 3
seed = 1
sampling = { max_units = 20 }

[dpo]
datasets = ["pairs"]
policy = "CHECKPOINT"
params = { budget = { steps = 3 }, pairs = 4, optimiser = { peak_lr = 1e-4, log_every = 1 } }
"#;
    let checkpoint = Demo::finished().run().join("pretrain/final");
    let project = Project::new(&source.replace("CHECKPOINT", &checkpoint.display().to_string()));
    let said = project.prepare(&["--jobs", "2"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let pairs = project.pairs();
    let (rows, margin) = (sum(&pairs, |r| &r["rows"]), sum(&pairs, |r| &r["totals"]["margin"]));
    assert!(rows >= 8.0 && margin >= rows, "{pairs:?}");
    // Three samples of four prompts a shard, unless the model ended at once.
    assert!((30.0..=36.0).contains(&sum(&pairs, |r| &r["totals"]["scored"])), "{pairs:?}");
    let before: Vec<_> = pairs.iter().map(|p| bytes(&p.0)).collect();
    let said = project.prepare(&["--jobs", "1", "--stage", "pair", "--force"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(before, pairs.iter().map(|p| bytes(&p.0)).collect::<Vec<_>>(), "the seed decides");
    // The same model is then taught by them, in a run without pre-training.
    let out = project.folder.path().join("run").display().to_string();
    let pipeline = project.folder.path().join("pairs.toml").display().to_string();
    let data = project.demo.data().display().to_string();
    let said = run(&["train", "--pipeline", &pipeline, "--data", &data, "--run", &out]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let text = fs::read_to_string(Path::new(&out).join("dpo/metrics.jsonl")).unwrap();
    let steps: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(steps.len(), 3);
    for name in ["loss", "chosen_reward", "rejected_reward", "margin", "accuracy"] {
        assert!(steps.iter().all(|s| s[name].is_number()), "no {name} in {text}");
    }
    // Policy and reference are one model before the first update.
    assert!((steps[0]["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-4, "{text}");
}

#[test]
fn a_source_of_pairs_that_cannot_be_is_refused_before_any_work() {
    for (source, says) in [
        ("source = { kind = \"own-continuation\", of = \"nowhere\" }", "'nowhere'"),
        ("source = { kind = \"slamkit-pairs\" }", "folder"),
    ] {
        let said = Project::new(source).prepare(&[]);
        assert!(said.code != Some(0) && said.stderr.contains(says), "{}", said.stderr);
    }
}

/// A WAV file of half a second whose sound depends on `i`.
fn sound(i: u32) -> Vec<u8> {
    wav::of((0..8_000).map(|t| {
        // A tone that rises in steps, each file from another start.
        let hertz = f64::from(150 + 170 * i + 400 * (t / 1_000));
        let phase = f64::from(t) / 16_000.0 * hertz * std::f64::consts::TAU;
        (phase.sin() * 9_000.0) as i16
    }))
}

#[test]
fn swags_csv_is_spoken_and_becomes_pairs() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..97 {
        fs::write(folder.path().join(format!("{i}.wav")), sound(i % 13)).unwrap();
    }
    let mut csv = String::from(
        ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n",
    );
    for i in 0..24 {
        let gold = if i % 4 == 3 { "gen" } else { "gold" };
        let endings = "sits down.,runs away.,eats a cake.,sings a song.";
        writeln!(
            csv,
            "{i},v{i},1,s,\"A man number {i} walks, slowly.\",He {i},{gold},{endings},{}",
            i % 4
        )
        .unwrap();
    }
    csv.push_str("24,v24,1,s,One cat.,It,gold,a.,b.,,d.,0\n");
    fs::write(folder.path().join("train.csv"), csv).unwrap();
    // Says any text by a sound that its checksum chooses: text on stdin, WAV on stdout.
    let command =
        format!("n=$(cksum | cut -d' ' -f1); cat {}/$((n % 97)).wav", folder.path().display());
    let project = Project::new(&format!(
        "shards = 2\nsource = {{ kind = \"swag\", folder = {:?}, seed = 1, voices = [\"a\", \"b\"], \
         engine = {{ command = {command:?} }} }}\n",
        folder.path().join("train.csv").display().to_string()
    ));
    let said = project.prepare(&["--max-bad-fraction", "0.4"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let pairs = project.pairs();
    // 18 rows are gold; a pair whose two continuations drew the same sound is none.
    let (rows, refused) = (sum(&pairs, |r| &r["rows"]), sum(&pairs, |r| &r["quarantined"]));
    assert!(pairs.len() == 2 && rows + refused == 18.0 && rows >= 12.0, "{rows} and {refused}");
    let before = bytes(&pairs[0].0);
    for stage in ["ingest-v2", "unitise-v2/mfcc-25hz", "pair-v1/mfcc-25hz"] {
        let shard = project.demo.data().join("pairs").join(stage);
        fs::remove_file(shard.join("part-00000-of-00002.parquet")).unwrap();
    }
    let said = project.prepare(&["--max-bad-fraction", "0.4", "--dataset", "pairs"]);
    assert!(said.stdout.contains("3 shards made"), "{}", said.stdout);
    assert_eq!(bytes(&pairs[0].0), before);
}

#[test]
fn hella_swag_is_spoken_by_the_projects_own_program() {
    let folder = tempfile::tempdir().unwrap();
    let line = json!({"ind": 1, "activity_label": "Baking", "ctx_a": "A woman bakes a cake.", "ctx_b": "she",
        "ctx": "", "endings": ["eats it.", "throws a ball.", "swims.", "reads."], "label": 0});
    fs::write(folder.path().join("hellaswag_train.jsonl"), format!("{line}\n")).unwrap();
    let project = Project::new(&format!(
        "source = {{ kind = \"hella-swag\", folder = {:?}, voices = [\"en\", \"en-us\"], voices_per_pair = 2 }}\n",
        folder.path().display().to_string()
    ));
    let said = project.prepare(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(sum(&project.pairs(), |r| &r["rows"]), 2.0, "one pair in each voice");
}
