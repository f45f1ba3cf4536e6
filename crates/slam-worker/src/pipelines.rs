//! The pipelines that the project ships, held against the stages that read them.

#![allow(clippy::unwrap_used)]

mod training;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use slam_recipe::Pipeline;
use slam_recipe::evaluation::Convention;
use slam_recipe::pipeline::Variant;
use slam_recipe::training::Budget;

use crate::check;

const NAMES: [&str; 4] = ["slam", "slam-scaled", "twist-350m", "demo"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../pipelines/{name}.toml"))
}

fn pipeline(name: &str, set: &[&str]) -> Pipeline {
    let set: Vec<_> = set.iter().map(|s| (*s).to_owned()).collect();
    Pipeline::read(&path(name), Variant::Full, &set).unwrap()
}

#[test]
fn every_pipeline_is_read_and_its_model_is_one_of_its_family() {
    for name in NAMES {
        for variant in [Variant::Full, Variant::Quick] {
            let mut p = Pipeline::read(&path(name), variant, &[]).unwrap();
            assert_eq!(p.name, name);
            assert!(p.train.is_some() && p.dpo.is_some());
            assert_eq!(p.evaluate.unwrap().params.convention, Some(Convention::Slamkit));
            p.model.checkpoint = None;
            check::model(&p.model).unwrap();
        }
    }
}

#[test]
fn slam_toml_is_the_recipe() {
    let p = pipeline("slam", &[]);
    let train = p.train.unwrap().params;
    assert_eq!((train.context, train.rows, train.micro_rows), (1024, 128, 8));
    assert_eq!(train.budget, Budget::Steps(17_625));
    let o = &train.optimiser;
    assert_eq!((o.peak_lr, o.min_lr, o.warmup, o.clip), (1e-3, 5e-5, 0.01, 0.5));
    assert_eq!((o.beta1, o.beta2, o.eps, o.weight_decay), (0.9, 0.999, 1e-8, 0.0));
    let dpo = p.dpo.unwrap().params;
    assert_eq!((dpo.beta, dpo.pairs, dpo.optimiser.peak_lr), (0.1, 64, 5e-5));
    assert_eq!(dpo.budget, Budget::Steps(813));
    let config = slam_lm::DecoderConfig::from_json(&Value::Object(p.model.config)).unwrap();
    let sizes = (config.vocab_size, config.hidden_size, config.num_layers, config.num_kv_heads);
    assert_eq!((sizes, config.rope_theta), ((502, 896, 24, 2), 10_000.0));
}

#[test]
fn every_source_is_one_that_some_stage_reads() {
    use slam_recipe::source::{Making, Source};
    for name in NAMES {
        for dataset in pipeline(name, &[]).datasets {
            // Suites and tables of recordings become folders at planning.
            let planned = matches!(dataset.source, Source::Suite(_) | Source::Manifest(_));
            let ingested = slam_corpus::source::reader(&dataset.source).is_some();
            assert!(planned || ingested || dataset.source.making() != Making::Corpus);
        }
    }
}

/// The keys of a table and of the tables in it.
fn keys(value: &Value, out: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        out.push(key.clone());
        if key == "optimiser" {
            keys(value, out);
        }
    }
}

#[test]
fn slam_toml_names_and_explains_every_field() {
    let text = fs::read_to_string(path("slam")).unwrap();
    let p = pipeline("slam", &[]);
    let mut fields = Vec::new();
    keys(&json!(p.train.as_ref().unwrap().params), &mut fields);
    keys(&json!(p.dpo.as_ref().unwrap().params), &mut fields);
    keys(&json!(p.datasets[0]), &mut fields);
    let mut explained = Vec::new();
    let mut before = "";
    for line in text.lines() {
        let key = line.split_once(" = ").map(|(key, _)| key).filter(|key| !key.starts_with('#'));
        if let Some(key) = key
            && (before.starts_with('#') || explained.contains(&key))
        {
            explained.push(key);
        }
        before = line;
    }
    for field in fields.iter().filter(|f| *f != "optimiser") {
        assert!(explained.contains(&field.as_str()), "slam.toml does not explain {field}");
    }
    // Fields that exclude others are explained in words.
    for field in ["fit_on", "fit_shards", "kmeans", "centroids", "checkpoint", "features"] {
        assert!(text.contains(field), "slam.toml does not explain {field}");
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    let refused = |set: &str| {
        let p = Pipeline::read(&path("demo"), Variant::Full, &[set.to_owned()]);
        p.map_or(true, |p| check::model(&p.model).is_err())
    };
    assert!(!refused("train.peak_lr=5e-4") && !refused("train.params.optimiser.clip=0.5"));
    for set in [
        "x=1",
        "train.x=1",
        "train.params.x=1",
        "train.params.optimiser.x=1",
        "dpo.params.x=1",
        "dpo.pair.x=1",
        "tokeniser.x=1",
        "tokeniser.features.x=1",
        "model.x=1",
        "evaluate.x=1",
        "datasets.demo-stories.x=1",
    ] {
        assert!(refused(set), "{set}");
    }
}
