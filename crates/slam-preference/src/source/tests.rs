//! Tests every source on small shards.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::{Value, json};
use slam_dataset::schema::{PreferencePair, TokeniserInfo, UnitSequence};
use slam_dataset::{Context, Outcome, shard};
use slam_recipe::item::{BenchmarkItem, Item, PairSegment, Segment, Side};
use slam_recipe::params::PairParams;
use slam_recipe::source::Sampling;
use slam_recipe::work::Input;
use slam_recipe::{Key, ShardName, Work, WorkUnit};
use tempfile::TempDir;

use crate::error::PairError;
use crate::sampler::{OpenSampler, Sampler, SamplerError};
use crate::stage::pair;

fn info(k: u32) -> TokeniserInfo {
    TokeniserInfo::imported("t", k, 25.0)
}

fn sequence(id: &str, units: &[u16], text: Option<&str>) -> UnitSequence {
    UnitSequence {
        id: id.into(),
        units: units.into(),
        durations: vec![1; units.len()],
        split: "train".into(),
        text: text.map(str::to_owned),
        ..Default::default()
    }
}

/// A row of a dataset of spoken pairs.
fn segment(pair: &str, segment: &str, units: &[u16], text: Option<&str>) -> UnitSequence {
    let segment = Segment::named(segment).unwrap();
    let item = Item::Pair(PairSegment { pair: pair.into(), segment });
    UnitSequence { item: Some(item.clone()), ..sequence(&item.utterance_id(), units, text) }
}

/// A data root that holds the stage's inputs.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn units(&self, rows: &[UnitSequence], k: u32) -> Input {
        shard::write(&self.0.path().join("in.parquet"), rows, &info(k).to_metadata()).unwrap();
        Self::input("in.parquet")
    }

    fn file(&self, name: &str, text: &str) -> Input {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        Self::input(name)
    }

    fn input(name: &str) -> Input {
        Input { path: name.into(), key: Key::of_bytes(name.as_bytes()) }
    }

    fn pair_with(
        &self,
        params: Value,
        inputs: Vec<Input>,
        open: &OpenSampler<'_>,
    ) -> Result<(Vec<PreferencePair>, Outcome), PairError> {
        let cancel = AtomicBool::new(false);
        let context = Context {
            root: self.0.path(),
            cancel: &cancel,
            progress: &|_| (),
            device: slam_recipe::device::DeviceSpec::Cpu,
            tools: BTreeMap::new(),
        };
        let shard = ShardName::new(0, 1);
        let params: PairParams = serde_json::from_value(params).unwrap();
        let work = Work::Pair(params.clone());
        let unit = WorkUnit::new(work, shard, inputs, "out.parquet".into());
        let out = self.0.path().join("out.parquet");
        let outcome = pair(&params, &unit, &context, &out, open)?;
        Ok((shard::read(&out).unwrap(), outcome))
    }

    fn pair(&self, params: Value, inputs: Vec<Input>) -> (Vec<PreferencePair>, Outcome) {
        self.pair_with(params, inputs, &|_, _, _| Err(SamplerError::Prompt("no model".into())))
            .unwrap()
    }
}

fn ids(outcome: &Outcome) -> Vec<&str> {
    outcome.quarantined.iter().map(|q| q.id.as_str()).collect()
}

#[test]
fn whole_pairs_of_segments_are_kept_and_the_rest_is_accounted_for() {
    let benchmark = Item::Benchmark(BenchmarkItem {
        suite: "s".into(),
        pair: "1".into(),
        voice: String::new(),
        kind: String::new(),
        subkind: String::new(),
        frequency: None,
        side: Side::Positive,
        file: None,
    });
    let rows = [
        segment("a", "prompt", &[1], Some("x y")),
        segment("a", "chosen", &[2], Some("z")),
        segment("a", "rejected", &[3], Some("w")),
        segment("b", "prompt", &[1], Some("x")),
        segment("c", "prompt", &[1], Some("x y x y")),
        segment("c", "chosen", &[2], Some("x y")),
        segment("c", "rejected", &[3], Some("w")),
        segment("d", "prompt", &[1], Some("x")),
        segment("d", "chosen", &[2], Some("y")),
        segment("d", "rejected", &[2], Some("z")),
        sequence("e/prompt", &[2], Some("z")),
        UnitSequence { item: Some(benchmark), ..sequence("s/1/positive", &[2], None) },
    ];
    let root = Root::new();
    let (pairs, outcome) = root.pair(json!({}), vec![root.units(&rows, 4)]);
    assert_eq!(pairs.len(), 1);
    assert_eq!((pairs[0].id.as_str(), pairs[0].auto_bleu2), ("a", Some(0.0)));
    assert_eq!(outcome.totals["filtered"], 1.0);
    assert_eq!(ids(&outcome), ["b", "e/prompt", "s/1/positive", "d"]);
    let errors: Vec<_> = outcome.quarantined.iter().map(|q| q.error.as_str()).collect();
    assert!(errors[1].contains("without an item") && errors[1].contains("segment"), "{errors:?}");
    assert!(errors[2].contains("an item of a suite"), "{errors:?}");
}

/// Returns a line in slamkit's format: units with durations, and the texts of prompt and chosen.
fn line(name: &str, units: [&[u16]; 3], texts: [&str; 2]) -> String {
    let units = units.map(|u| json!({"units": u, "duration": vec![1; u.len()]}));
    let [prompt, chosen, rejected] = units;
    json!({"prompt_path": format!("audio/{name}.wav"), "chosen_path": "c.wav", "rejected_path": "r.wav",
        "prompt": prompt, "chosen": chosen, "rejected": rejected,
        "prompt_text": texts[0], "chosen_text": texts[1]})
    .to_string()
}

#[test]
fn slamkits_lines_are_pairs_with_their_texts() {
    let lines = [
        line("a", [&[1, 2], &[3], &[4]], ["a cat sat", "on a mat"]),
        // Two of five bigrams of the whole text are "the cat". The prompt alone repeats none.
        line("b", [&[1], &[2], &[3]], ["the cat saw", "the cat run"]),
        "no json".into(),
        String::new(),
        line("c", [&[1], &[2], &[2]], ["a", "b"]),
        line("d", [&[1], &[9], &[2]], ["a", "b"]),
        line("a", [&[1, 2], &[5], &[4]], ["a cat sat", "on it"]),
    ];
    let root = Root::new();
    let file = root.file("pairs.jsonl", &lines.join("\n"));
    let source = json!({"kind": "slamkit-pairs", "tokeniser": "t", "k": 9});
    let (pairs, outcome) = root.pair(json!({"source": source}), vec![file.clone()]);
    let found: Vec<_> = pairs.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(found, ["a@1", "a@7"]);
    let first = &pairs[0];
    assert_eq!((&first.prompt[..], &first.chosen[..]), (&[1, 2][..], &[3][..]));
    assert_eq!(first.chosen_text.as_deref(), Some("on a mat"));
    assert_eq!((first.rejected_text.as_deref(), first.auto_bleu2), (None, Some(0.0)));
    assert_eq!(outcome.totals["filtered"], 1.0);
    assert_eq!(ids(&outcome), ["line 3", "c@5", "d@6"]);
    // Made in parts, the rows are the same.
    let part = |i| {
        let params = json!({"source": source, "part": [i, 3]});
        root.pair(params, vec![file.clone()])
    };
    let parts: Vec<_> = (0..3).map(part).collect();
    let all: Vec<_> = parts.iter().flat_map(|(pairs, _)| pairs.clone()).collect();
    assert_eq!(all, pairs);
    let left_out: usize = parts.iter().map(|(_, o)| o.quarantined.len()).sum();
    assert_eq!(left_out, 3);
}

#[test]
fn lines_may_be_of_the_tokeniser_of_a_unit_shard() {
    let root = Root::new();
    let file = root.file("pairs.jsonl", &line("a", [&[1], &[2], &[3]], ["a", "b"]));
    let units = root.units(&[], 3);
    let source = json!({"kind": "slamkit-pairs"});
    let (pairs, outcome) = root.pair(json!({"source": source}), vec![file, units]);
    // The shard's tokeniser has three units, not the 500 of the source.
    assert!(pairs.is_empty());
    assert!(outcome.quarantined[0].error.contains("unit 3 of a tokeniser with 3"));
}

/// Returns stories of one unit each; the unit identifies the story.
fn stories(lengths: impl IntoIterator<Item = usize>) -> Vec<UnitSequence> {
    let story = |(i, n)| sequence(&format!("s{i:03}"), &vec![i as u16; n], None);
    lengths.into_iter().enumerate().map(story).collect()
}

#[test]
fn a_storys_own_continuation_stands_against_anothers_of_the_same_length() {
    let mut rows = stories((0..60).map(|i| 80 + i % 40));
    rows.push(sequence("short", &[7; 30], None));
    rows.push(UnitSequence { split: "validation".into(), ..sequence("v", &[99; 90], None) });
    let root = Root::new();
    let source = json!({"kind": "own-continuation", "seed": 3});
    let params = json!({"source": source});
    let (pairs, outcome) = root.pair(params.clone(), vec![root.units(&rows, 100)]);
    assert_eq!((pairs.len(), outcome.totals["too_short"]), (60, 1.0));
    for p in &pairs {
        let own: u16 = p.id[1..].parse().unwrap();
        assert!(p.prompt.iter().chain(&p.chosen).all(|u| *u == own), "{}", p.id);
        assert!(p.rejected.iter().all(|u| *u != own && *u != 99));
        assert_eq!(p.chosen.len(), p.rejected.len());
        assert!(p.chosen.len() >= 20 && p.prompt.len() >= 20);
    }
    // Neither the order of the rows nor other rows change a cut. Another seed does.
    rows.reverse();
    let (mut again, _) = root.pair(params, vec![root.units(&rows, 100)]);
    again.reverse();
    assert_eq!(again, pairs);
    let other = json!({"source": {"kind": "own-continuation", "seed": 4}});
    assert_ne!(root.pair(other, vec![root.units(&rows, 100)]).0, pairs);
}

#[test]
fn a_story_without_a_mate_of_its_length_is_counted() {
    let rows = stories([100, 101, 300]);
    let root = Root::new();
    let source = json!({"kind": "own-continuation", "cut": {"max_continuation_units": 0, "prompt_share": [0.5, 0.5]}});
    let (pairs, outcome) = root.pair(json!({"source": source}), vec![root.units(&rows, 9)]);
    assert_eq!((pairs.len(), outcome.totals["without_mate"]), (2, 1.0));
    let source = json!({"kind": "own-continuation", "cut": {"prompt_share": [0.9, 0.1]}});
    let wrong =
        root.pair_with(json!({"source": source}), vec![root.units(&rows, 9)], &|_, _, _| {
            Err(SamplerError::Prompt("no model".into()))
        });
    assert!(matches!(wrong, Err(PairError::Cut(e)) if e.to_string().contains("prompt_share")));
}

/// A model that draws its units from the seed alone.
struct Dice;

impl Sampler for Dice {
    fn sample(
        &mut self,
        prompt: &[u16],
        count: usize,
        seed: u64,
    ) -> Result<Vec<Vec<u16>>, SamplerError> {
        if prompt.contains(&13) {
            return Err(SamplerError::Prompt("an unlucky prompt".into()));
        }
        let draw = |i: usize| {
            let mut rng = slam_dataset::rng::Rng::derive(seed, &[i as u64]);
            (0..rng.below(12)).map(|_| rng.below(50) as u16).collect()
        };
        Ok((0..count).map(draw).collect())
    }
}

fn open(
    folder: &Path,
    _: &TokeniserInfo,
    sampling: &Sampling,
) -> Result<Box<dyn Sampler>, SamplerError> {
    if !folder.ends_with("model") || sampling.max_units != 12 {
        let units = sampling.max_units;
        let source = format!("it was opened for {units} units").into();
        return Err(SamplerError::Model { checkpoint: folder.to_owned(), source });
    }
    Ok(Box::new(Dice))
}

/// A stub in the shell that returns the sum of a continuation's units.
const SUM: &str = r#"while read -r l; do
    c=${l#*'"continuation":['}; c=${c%%]*}; s=0
    IFS=,; for u in $c; do s=$((s + u)); done; unset IFS
    echo "{\"score\": $s, \"text\": \"said $s\"}"; done"#;

fn sum(units: &[u16]) -> u32 {
    units.iter().map(|u| u32::from(*u)).sum()
}

fn sampled(scorer: Value, more: Value) -> Value {
    let mut source =
        json!({"kind": "sampled", "scorer": scorer, "seed": 5, "sampling": {"max_units": 12}});
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"source": source})
}

#[test]
fn a_command_ranks_a_models_own_continuations() {
    let root = Root::new();
    let inputs = vec![
        root.units(&stories((0..20).map(|i| 60 + i)), 50),
        root.file("model/config.json", "{}"),
    ];
    let run = |more| root.pair_with(sampled(json!({"command": SUM}), more), inputs.clone(), &open);
    let (pairs, outcome) = run(json!({})).unwrap();
    assert!(pairs.len() >= 15, "{outcome:?}");
    assert_eq!(ids(&outcome), ["s013"]);
    for p in &pairs {
        assert!(sum(&p.chosen) > sum(&p.rejected), "{}", p.id);
        assert_eq!(p.chosen_text, Some(format!("said {}", sum(&p.chosen))));
    }
    assert_eq!(run(json!({})).unwrap().0, pairs, "the seed decides");
    assert_ne!(run(json!({"seed": 6})).unwrap().0, pairs);
    let (turned, _) = run(json!({"better": "lower"})).unwrap();
    assert_eq!((&turned[0].chosen, &turned[0].rejected), (&pairs[0].rejected, &pairs[0].chosen));
    let (few, outcome) = run(json!({"min_margin": 150.0, "prompts": 10})).unwrap();
    assert!(few.len() < 10 && outcome.totals["without_margin"] >= 1.0, "{outcome:?}");
    assert!(few.iter().all(|p| sum(&p.chosen) >= sum(&p.rejected) + 150));
}

#[test]
fn a_scorer_that_breaks_ends_the_shard_and_a_wrong_answer_only_the_row() {
    let root = Root::new();
    let inputs = vec![root.units(&stories([60, 60, 60]), 50), root.file("model/config.json", "{}")];
    let run = |command: &str| {
        let scorer = json!({"command": command, "timeout_seconds": 2.0});
        root.pair_with(sampled(scorer, json!({})), inputs.clone(), &open)
    };
    let error = run("exit 7").unwrap_err().to_string();
    assert!(error.contains("'exit 7'") && error.contains("answers with a number"), "{error}");
    let (pairs, outcome) = run("while read -r l; do echo none; done").unwrap();
    assert!(pairs.is_empty() && outcome.quarantined.len() == 3);
    assert!(outcome.quarantined[0].error.contains("'none'"));
    let no_model =
        root.pair_with(sampled(json!({"command": SUM}), json!({})), inputs[..1].to_vec(), &open);
    assert!(no_model.unwrap_err().to_string().contains("checkpoint"));
}

/// Answers POST requests on its own port: the first with 503, the others with the continuation's sum.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/score", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let body = loop {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&bytes);
                let head = text.split_once("\r\n\r\n").map(|(head, _)| head.len() + 4);
                if let Some(body) =
                    head.and_then(|at| serde_json::from_slice::<Value>(&bytes[at..]).ok())
                {
                    break body;
                }
                assert!(n > 0, "no request: {text}");
            };
            let units = body["continuation"].as_array().unwrap();
            let sum: u64 = units.iter().map(|u| u.as_u64().unwrap()).sum();
            let (status, answer) = match i {
                0 => ("503 Service Unavailable", "loading".to_owned()),
                _ if body["id"] == "s001" => ("422 Unprocessable Entity", "no speech".to_owned()),
                _ => ("200 OK", sum.to_string()),
            };
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
            )
            .unwrap();
        }
    });
    address
}

#[test]
fn a_service_ranks_as_a_command_does() {
    let root = Root::new();
    let inputs = vec![
        root.units(&stories((0..4).map(|i| 60 + i)), 50),
        root.file("model/config.json", "{}"),
    ];
    let run = |scorer| root.pair_with(sampled(scorer, json!({})), inputs.clone(), &open).unwrap();
    let (by_service, outcome) = run(json!({"url": serve()}));
    let (by_command, _) = run(json!({"command": SUM}));
    assert_eq!(ids(&outcome), ["s001"]);
    assert!(outcome.quarantined[0].error.contains("422"), "{outcome:?}");
    let pairs = |pairs: Vec<PreferencePair>| -> Vec<_> {
        pairs.into_iter().map(|p| (p.id, p.chosen, p.rejected)).filter(|p| p.0 != "s001").collect()
    };
    assert_eq!(pairs(by_service), pairs(by_command));
    let gone = json!({"url": "http://127.0.0.1:1/", "timeout_seconds": 1.0});
    let error = root.pair_with(sampled(gone, json!({})), inputs, &open).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("4 times"), "{error}");
}
