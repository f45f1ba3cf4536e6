//! The pipelines that the project ships, trained for five steps at a toy width.
//!
//! Sizes alone are changed: width, layers, vocabulary, context, rows (with their ratio to what is computed at once)
//! and the budget's amount. Precision, accumulation, packing, schedule, preferences and the budget's form are the
//! files' own.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use slam_dataset::rng::Rng;
use slam_dataset::schema::{PreferencePair, TokeniserInfo, UnitSequence};
use slam_dataset::shard;
use slam_lm::checkpoint::Format;
use slam_lm::{Decoder, DecoderConfig};
use slam_nn::device::Device;
use slam_recipe::Key;
use slam_train::budget::Budget;
use slam_train::data::UnitShards;
use slam_train::dpo::{DpoConfig, dpo};
use slam_train::packing::pack;
use slam_train::pretrain::{PretrainConfig, Start, pretrain};
use slam_train::{Ended, RunContext, Summary, TrainError};

use super::*;

const UNITS: u32 = 32;
const STEPS: u64 = 5;
/// Lengths in tokens are this many times shorter than the recipe's 1,024.
const SHORTER: usize = 16;
const CONTEXT: usize = 1024 / SHORTER;
const PAIRS: usize = 128;

#[test]
fn slam_trains_and_resumes_as_its_file_says() {
    trains_and_resumes("slam", &QWEN);
}

#[test]
fn slam_scaled_trains_and_resumes_as_its_file_says() {
    trains_and_resumes("slam-scaled", &QWEN);
}

#[test]
fn twist_350m_trains_and_resumes_as_its_file_says() {
    let sizes = [
        ("hidden_size", 32),
        ("ffn_dim", 64),
        ("num_hidden_layers", 2),
        ("num_attention_heads", 4),
        ("word_embed_proj_dim", 16),
        ("max_position_embeddings", CONTEXT),
        ("vocab_size", UNITS as usize + 2),
    ];
    trains_and_resumes("twist-350m", &sizes);
}

#[test]
fn the_demo_trains_and_resumes_as_its_file_says() {
    let sizes = [
        ("hidden_size", 32),
        ("intermediate_size", 64),
        ("num_hidden_layers", 2),
        ("num_attention_heads", 4),
        ("num_key_value_heads", 2),
        ("max_position_embeddings", CONTEXT),
    ];
    trains_and_resumes("demo", &sizes);
}

/// Seven query heads to a key head, as Qwen2.5-0.5B has them.
const QWEN: [(&str, usize); 6] = [
    ("hidden_size", 56),
    ("intermediate_size", 96),
    ("num_hidden_layers", 2),
    ("num_attention_heads", 7),
    ("num_key_value_heads", 1),
    ("vocab_size", UNITS as usize + 2),
];

/// Pre-trains, then optimises preferences, each once in one go and once with interruptions: the same bytes.
fn trains_and_resumes(name: &str, sizes: &[(&str, usize)]) {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = at_toy_width(name, sizes);
    let names = pipeline.train.as_ref().unwrap().datasets.iter();
    let data: Vec<_> =
        names.zip(1..).map(|(name, seed)| units(folder.path(), name, seed)).collect();
    let (config, start) = (pretraining(&pipeline, &data), start(&pipeline, folder.path()));
    let shards: Vec<_> = data.iter().map(|(shards, _)| shards.clone()).collect();
    let key = Key::of_bytes(b"units");
    let run = folder.path().join("pretrain");
    both_ways(&run, &|context| pretrain(&config, &start, &shards, &key, context));

    let policy = run.join("whole/final");
    let (pairs, of_pairs) = pairs(folder.path());
    let config = preferences(&pipeline, of_pairs);
    let key = Key::of_bytes(b"pairs");
    let run = folder.path().join("dpo");
    both_ways(&run, &|context| dpo(&config, &policy, std::slice::from_ref(&pairs), &key, context));
}

/// Runs some work in one go, and in sessions of which the first two end after a step each.
fn both_ways(run: &Path, work: &dyn Fn(&RunContext<'_>) -> Result<Ended, TrainError>) {
    let in_session = |name: &str, interrupted: bool| {
        let run = run.join(name);
        fs::create_dir_all(&run).unwrap();
        let (device, cancel) = (Device::flex(), AtomicBool::new(interrupted));
        let summary = work(&RunContext::new(&run, &device, &cancel, &|_| ()));
        (summary, run.join("final/model.safetensors"))
    };
    let (summary, whole) = in_session("whole", false);
    let summary = trained(summary);
    assert_eq!(summary.spent.steps, STEPS);
    assert!(summary.loss.is_finite() && summary.validation["val_loss"].is_finite());
    for done in 1..=2 {
        match in_session("parts", true).0 {
            Err(TrainError::Interrupted { step }) => assert_eq!(step, done),
            other => panic!("not interrupted: {other:?}"),
        }
    }
    let (resumed, parts) = in_session("parts", false);
    let resumed = trained(resumed);
    assert_eq!((resumed.loss, resumed.validation), (summary.loss, summary.validation));
    assert!(fs::read(whole).unwrap() == fs::read(parts).unwrap(), "the weights differ");
}

fn trained(ended: Result<Ended, TrainError>) -> Summary {
    match ended {
        Ok(Ended::Trained(summary)) => summary,
        other => panic!("not trained: {other:?}"),
    }
}

/// A pipeline with smaller sizes, and the parts of a step as many as its file has.
fn at_toy_width(name: &str, sizes: &[(&str, usize)]) -> Pipeline {
    let file = pipeline(name, &[]);
    let mut set: Vec<String> =
        sizes.iter().map(|(field, size)| format!("model.{field}={size}")).collect();
    set.push(format!("train.params.context={CONTEXT}"));
    let train: PretrainConfig = file.train.unwrap().params;
    // 0 at once is all.
    if let Some(parts) = train.rows.checked_div(train.micro_rows) {
        assert!(parts > 1, "{name} computes a step's rows at once");
        set.extend([format!("train.params.rows={parts}"), "train.params.micro_rows=1".to_owned()]);
    }
    let dpo: DpoConfig = file.dpo.unwrap().params;
    set.push(format!("dpo.params.max_prompt_length={}", dpo.max_prompt_length / SHORTER));
    set.push(format!("dpo.params.max_length={}", dpo.max_length / SHORTER));
    if let Some(parts) = dpo.pairs.checked_div(dpo.micro_pairs) {
        assert!(parts > 1, "{name} computes a step's pairs at once");
        set.extend([
            format!("dpo.params.pairs={}", 2 * parts),
            "dpo.params.micro_pairs=2".to_owned(),
        ]);
    }
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    pipeline(name, &set)
}

fn pretraining(pipeline: &Pipeline, data: &[(UnitShards, Vec<usize>)]) -> PretrainConfig {
    let mut config: PretrainConfig = pipeline.train.as_ref().unwrap().params.clone();
    let lengths = data.iter().flat_map(|(_, lengths)| lengths).copied();
    let samples: Vec<(usize, usize)> = lengths.enumerate().collect();
    let epoch: usize = samples.iter().map(|(_, tokens)| tokens).sum();
    // Rows are not full; how full, depends on the packing.
    let rows = pack(&samples, config.context, config.packing).len();
    config.budget = five_steps(config.budget, config.rows * epoch / rows, epoch);
    config
}

fn preferences(pipeline: &Pipeline, tokens: usize) -> DpoConfig {
    let mut config: DpoConfig = pipeline.dpo.as_ref().unwrap().params.clone();
    config.budget = five_steps(config.budget, config.pairs * tokens / PAIRS, tokens);
    config
}

/// A budget of the same form that ends within the fifth step.
fn five_steps(budget: Budget, tokens_per_step: usize, epoch_tokens: usize) -> Budget {
    let tokens = tokens_per_step as f64 * (STEPS as f64 - 0.5);
    match budget {
        Budget::Steps(_) => Budget::Steps(STEPS),
        Budget::Tokens(_) => Budget::Tokens(tokens as u64),
        Budget::Epochs(_) => Budget::Epochs(tokens / epoch_tokens as f64),
        Budget::Seconds(_) => panic!("no shipped pipeline ends by the clock"),
    }
}

/// Random weights, in a checkpoint where the pipeline starts from one.
fn start(pipeline: &Pipeline, folder: &Path) -> Start {
    let model = Value::Object(pipeline.model.config.clone());
    if pipeline.model.checkpoint.is_none() {
        return Start::Random(model);
    }
    let config = DecoderConfig::from_json(&model).unwrap();
    let path = folder.join("init");
    let decoder = Decoder::random(&config, 1, &Device::flex()).unwrap();
    decoder.save(&path, Format::Slamkit, None).unwrap();
    Start::Checkpoint { folder: path, key: Key::of_bytes(b"init") }
}

fn tokeniser() -> TokeniserInfo {
    TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "t".into(),
        layer: None,
        k: UNITS,
        units_per_second: 25.0,
    }
}

/// So many units, in which something can be learnt.
fn sequence(rng: &mut Rng, length: usize) -> Vec<u16> {
    let mut unit = rng.below(UNITS as usize);
    let mut next = || {
        unit = (unit * 3 + 1 + rng.below(2)) % UNITS as usize;
        unit as u16
    };
    (0..length).map(|_| next()).collect()
}

/// A dataset's shard of utterances, some longer than the context, and the tokens of each that is trained on.
fn units(folder: &Path, name: &str, seed: u64) -> (UnitShards, Vec<usize>) {
    let mut rng = Rng::new(seed);
    let rows: Vec<UnitSequence> = (0..120)
        .map(|i| {
            let units = sequence(&mut rng, 10 + (i * 7) % (CONTEXT + 20));
            UnitSequence {
                id: format!("{name}-{i}"),
                durations: vec![1; units.len()],
                units,
                split: if i % 20 == 0 { "validation" } else { "train" }.into(),
                text: None,
                words: None,
                item: None,
            }
        })
        .collect();
    let path = folder.join(format!("{name}.parquet"));
    shard::write(&path, &rows, &tokeniser().to_metadata()).unwrap();
    // `<S>` at both ends.
    let lengths = rows.iter().filter(|r| r.split == "train").map(|r| r.units.len() + 2).collect();
    (UnitShards { name: name.to_owned(), shards: vec![path] }, lengths)
}

/// A shard of pairs, some longer than they may be, and their tokens.
fn pairs(folder: &Path) -> (PathBuf, usize) {
    let mut rng = Rng::new(9);
    let rows: Vec<PreferencePair> = (0..PAIRS)
        .map(|i| {
            let length = CONTEXT / 2 - 10 + i % 16;
            PreferencePair {
                id: format!("p{i}"),
                prompt: sequence(&mut rng, length),
                chosen: sequence(&mut rng, length),
                rejected: sequence(&mut rng, length - 4),
                ..Default::default()
            }
        })
        .collect();
    let path = folder.join("pairs.parquet");
    shard::write(&path, &rows, &tokeniser().to_metadata()).unwrap();
    // `<S>` at both ends; the prompt is cut to half the context, the sequence to all of it.
    let side = |prompt: &[u16], more: &[u16]| {
        ((prompt.len() + 1).min(CONTEXT / 2) + more.len() + 1).min(CONTEXT)
    };
    let tokens = rows.iter().map(|r| side(&r.prompt, &r.chosen) + side(&r.prompt, &r.rejected));
    (path, tokens.sum())
}
