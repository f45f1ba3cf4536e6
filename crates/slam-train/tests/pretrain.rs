//! The arithmetic of training: AdamW as torch's, and steps that don't depend on how they are divided.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde_json::{Value, json};
use slam_dataset::rng::Rng;
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard;
use slam_lm::batch::next_tokens;
use slam_lm::{Decoder, TokenBatch};
use slam_nn::ops::AdamWStep;
use slam_nn::params::Parameters;
use slam_nn::weights::Weights;
use slam_recipe::Key;
use slam_train::config::Decay;
use slam_train::data::UnitShards;
use slam_train::optimiser::{AdamW, GradientSum};
use slam_train::pretrain::{PretrainConfig, Start, pretrain};
use slam_train::{Ended, Mode, RunContext};

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

/// Peak learning rate, betas, eps and clipping of `make_fixtures.py`.
fn step_of(step: u64, weight_decay: f64, grad_scale: f64) -> AdamWStep {
    let (lr, beta1, beta2, eps) = (1e-3, 0.9, 0.999, 1e-8);
    AdamWStep { lr, beta1, beta2, eps, weight_decay, step, grad_scale }
}

#[test]
fn three_steps_equal_those_of_torch_with_and_without_decay() {
    let device = Device::flex().autodiff();
    for weight_decay in [0.0, 0.1] {
        let path = fixtures().join(format!("training/adamw_3steps_wd{weight_decay:?}.safetensors"));
        let expected = Weights::open(path).unwrap();
        let scalar = |name: String| f64::from(expected.tensor_f32(&name).unwrap().0[0]);
        let mut model = Decoder::load(fixtures().join("qwen2"), &device).unwrap();
        model.for_each_param_mut(&mut |_, p| p.make_leaf());
        let mut optimiser = AdamW::new(&model);
        for step in 0..3 {
            let (ids, shape) = expected.tensor_i64(&format!("batch{step}")).unwrap();
            let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
            let rows: Vec<Vec<&[u32]>> = ids.chunks(shape[1]).map(|row| vec![row]).collect();
            let targets = (shape[0] * (shape[1] - 1)) as f64;
            let batch = TokenBatch::packed(&rows, &device);
            let loss = model.token_nll(&batch, next_tokens(&rows, &device)).sum();
            let mut sums = GradientSum::default();
            sums.add(&model, loss.backward());
            let loss = loss.into_data().iter::<f64>().sum::<f64>() / targets;
            let norm = sums.norm() / targets;
            assert!(
                (loss - scalar(format!("loss{step}"))).abs() < 1e-5,
                "step {step}: loss {loss}"
            );
            let wanted = scalar(format!("grad_norm{step}"));
            assert!(
                (norm - wanted).abs() < 1e-5 * wanted,
                "step {step}: norm {norm}, not {wanted}"
            );
            let clip = (0.5 / (norm + 1e-6)).min(1.0);
            let arguments = step_of(step + 1, weight_decay, clip / targets);
            optimiser.step(&mut model, sums, &arguments, Decay::All);
        }
        model.for_each_param(&mut |name, p| {
            let wanted = expected.tensor_f32(&format!("param.{name}")).unwrap().0;
            let off =
                p.to_f32().iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Key biases have no gradient but rounding noise, whose sign AdamW makes a whole step of.
            let limit = if name.ends_with("k_proj.bias") { 6e-3 } else { 2e-5 };
            assert!(off <= limit, "weight decay {weight_decay}: {name} is off by {off}");
        });
    }
}

#[test]
fn norms_and_biases_do_not_decay_where_matrices_alone_do() {
    let device = Device::flex().autodiff();
    let start = Decoder::load(fixtures().join("gpt-neox"), &device).unwrap();
    let decayed = |decay: Decay| {
        let mut model = start.clone();
        model.for_each_param_mut(&mut |_, p| p.make_leaf());
        let rows = [vec![&[1u32, 5, 9, 7][..]]];
        let batch = TokenBatch::packed(&rows, &device);
        let loss = model.token_nll(&batch, next_tokens(&rows, &device)).sum();
        let mut sums = GradientSum::default();
        sums.add(&model, loss.backward());
        // No gradient: what changes, decays.
        let arguments = step_of(1, 0.5, 0.0);
        AdamW::new(&model).step(&mut model, sums, &arguments, decay);
        let mut before = Vec::new();
        start.for_each_param(&mut |_, p| before.push(p.to_f32()));
        let (mut index, mut names) = (0, Vec::new());
        model.for_each_param(&mut |name, p| {
            let values = p.to_f32();
            let zero = before[index].iter().all(|x| *x == 0.0);
            if values != before[index] || zero {
                names.push(name.to_owned());
            }
            index += 1;
        });
        (index, names)
    };
    let (all, names) = decayed(Decay::All);
    assert_eq!(names.len(), all, "{names:?}");
    let (_, names) = decayed(Decay::Matrices);
    assert!(names.iter().any(|n| n.ends_with("embed_in.weight")), "{names:?}");
    let vector = |n: &String| n.contains("layernorm") && n.ends_with("weight");
    assert!(!names.iter().any(vector), "{names:?}");
}

/// A shard of utterances of many lengths.
fn units(path: &Path) -> UnitShards {
    let mut rng = Rng::new(3);
    let rows: Vec<UnitSequence> = (0..96)
        .map(|i| {
            let mut unit = 0;
            let mut next = || {
                unit = (unit * 3 + 1 + rng.below(2)) % 20;
                unit as u16
            };
            let units: Vec<u16> = (0..8 + i % 50).map(|_| next()).collect();
            let split = if i % 12 == 0 { "validation" } else { "train" };
            UnitSequence {
                id: format!("u{i}"),
                durations: vec![1; units.len()],
                units,
                split: split.into(),
                text: None,
                words: None,
                item: None,
            }
        })
        .collect();
    let info = TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "t".into(),
        layer: None,
        k: 20,
        units_per_second: 25.0,
    };
    shard::write(path, &rows, &info.to_metadata()).unwrap();
    UnitShards { name: "d".into(), shards: vec![path.to_owned()] }
}

/// A model of two layers.
fn small() -> Value {
    json!({"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "tie_word_embeddings": true})
}

/// A run's losses and the values of its final weights.
fn train(more: Value, others: &[Device]) -> (Vec<f64>, Vec<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let data = units(&folder.path().join("part-00000-of-00001.parquet"));
    let mut config = json!({
        "budget": {"steps": 10},
        "context": 64,
        "rows": 8,
        "seed": 1,
        "optimiser": {"log_every": 1, "peak_lr": 3e-3, "warmup": 0.2, "weight_decay": 0.01},
    });
    for (name, value) in more.as_object().unwrap() {
        match (config.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            (Some(table), Some(more)) => table.extend(more.clone()),
            _ => config[name] = value.clone(),
        }
    }
    let config: PretrainConfig = serde_json::from_value(config).unwrap();
    let model = small();
    let run = folder.path().join("run");
    fs::create_dir_all(&run).unwrap();
    let (device, cancel) = (Device::flex(), AtomicBool::new(false));
    let context = RunContext::new(&run, &device, &cancel, &|_| {});
    let context = RunContext { others, ..context };
    let key = Key::of_bytes(b"data");
    pretrain(&config, &Start::Random(model), &[data], &key, &context).unwrap();
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let loss = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
    let mut weights = Vec::new();
    let model = Decoder::load(run.join("final"), &device).unwrap();
    // Key biases have no gradient but rounding noise, whose sign AdamW makes a whole step of.
    model.for_each_param(&mut |name, p| {
        if !name.ends_with("k_proj.bias") {
            weights.extend(p.to_f32());
        }
    });
    (text.lines().map(loss).collect(), weights)
}

/// Both runs are the same but for rounding.
fn assert_near(a: &(Vec<f64>, Vec<f32>), b: &(Vec<f64>, Vec<f32>), what: &str) {
    assert_eq!((a.0.len(), a.1.len()), (b.0.len(), b.1.len()));
    let losses = a.0.iter().zip(&b.0).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let rms =
        |x: &mut dyn Iterator<Item = f32>| x.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let off = rms(&mut a.1.iter().zip(&b.1).map(|(a, b)| a - b)) / rms(&mut a.1.iter().copied());
    assert!(losses < 1e-4 && off < 2e-3, "{what}: losses differ by {losses}, weights by {off}");
}

#[test]
fn a_step_in_parts_or_on_several_devices_equals_the_large_batch() {
    let whole = train(json!({}), &[]);
    assert!(whole.0[9] < whole.0[0] - 0.2, "nothing was learnt: {:?}", whole.0);
    for micro_rows in [1, 3] {
        let parts = train(json!({"micro_rows": micro_rows}), &[]);
        assert_ne!(parts.1, whole.1, "the parts were not computed apart");
        assert_near(&parts, &whole, &format!("{micro_rows} rows at once"));
    }
    for count in [1, 2] {
        let others = vec![Device::flex(); count];
        let several = train(json!({}), &others);
        assert_near(&several, &whole, &format!("{} devices", count + 1));
        assert_eq!(several, train(json!({}), &others), "the same again, whichever is ready first");
    }
}

#[test]
fn activations_that_are_computed_again_change_nothing() {
    let kept = train(json!({}), &[]);
    let recomputed = train(json!({"optimiser": {"activations": "recompute"}}), &[]);
    assert_eq!(kept, recomputed);
}

#[test]
fn both_packings_learn_and_a_mixture_that_reads_half_is_another_run() {
    let fill = train(json!({}), &[]);
    let recipe = train(json!({"packing": "recipe"}), &[]);
    assert!(recipe.0[9] < recipe.0[0] - 0.2 && recipe != fill, "{:?}", recipe.0);
    let half = train(json!({"mixture": {"repetitions": {"d": 0.5}}}), &[]);
    assert!(half.0[9] < half.0[0] - 0.2 && half != fill, "{:?}", half.0);
}

#[test]
fn a_plan_alone_is_an_outcome_and_leaves_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = units(&folder.path().join("part-00000-of-00001.parquet"));
    let config = json!({"budget": {"steps": 3}, "context": 64, "rows": 8});
    let config: PretrainConfig = serde_json::from_value(config).unwrap();
    let run = folder.path().join("run");
    fs::create_dir_all(&run).unwrap();
    let (device, cancel) = (Device::flex(), AtomicBool::new(false));
    let context = RunContext::new(&run, &device, &cancel, &|_| {});
    let context = RunContext { mode: Mode::Plan, ..context };
    let key = Key::of_bytes(b"data");
    let ended = pretrain(&config, &Start::Random(small()), &[data], &key, &context).unwrap();
    let Ended::Planned(plan) = ended else { panic!("not planned: {ended:?}") };
    assert_eq!(plan.steps, 3.0);
    for name in ["initial", "final", "checkpoints", "summary.json"] {
        assert!(!run.join(name).exists(), "{name}");
    }
}

#[test]
fn a_setting_that_cannot_be_is_refused_with_its_range() {
    let folder = tempfile::tempdir().unwrap();
    let data = units(&folder.path().join("part-00000-of-00001.parquet"));
    let (device, cancel) = (Device::flex(), AtomicBool::new(false));
    let context = RunContext::new(folder.path(), &device, &cancel, &|_| {});
    for (wrong, said) in [
        (json!({"context": 1}), "context is 1; it must be at least 2"),
        (json!({"rows": 0}), "rows is 0; it must be at least 1"),
        (json!({"budget": {"epochs": 0.0}}), "budget.epochs is 0; it must be positive"),
        (
            json!({"optimiser": {"warmup": 1.0}}),
            "optimiser.warmup is 1; it must be at least 0 and below 1",
        ),
        (
            json!({"optimiser": {"min_lr": 1.0}}),
            "optimiser.min_lr is 1; it must be at least 0 and at most",
        ),
        (json!({"context": 65}), "context of 65 is longer than the model's 64 positions"),
        (json!({"min_units": 1000}), "no rows of split 'train'"),
    ] {
        let mut config = json!({"budget": {"steps": 3}, "context": 64, "rows": 8});
        config.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let config: PretrainConfig = serde_json::from_value(config).unwrap();
        let key = Key::of_bytes(b"data");
        let start = Start::Random(small());
        let error =
            pretrain(&config, &start, std::slice::from_ref(&data), &key, &context).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}
