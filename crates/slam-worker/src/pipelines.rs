//! The pipelines that the project ships, held against the stages that read them.

#![allow(clippy::unwrap_used)]

mod training;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use slam_pipeline::{Pipeline, Plan, RunFile};
use slam_train::dpo::DpoConfig;
use slam_train::pretrain::PretrainConfig;

use crate::check;

const NAMES: [&str; 4] = ["slam", "slam-scaled", "twist-350m", "demo"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../pipelines/{name}.toml"))
}

fn pipeline(name: &str, set: &[&str]) -> Pipeline {
    let set: Vec<_> = set.iter().map(|s| (*s).to_owned()).collect();
    Pipeline::read(&path(name), false, &set).unwrap()
}

fn params<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_pipelines_parameters_are_taken_by_their_stages() {
    for name in NAMES {
        for quick in [false, true] {
            let p = Pipeline::read(&path(name), quick, &[]).unwrap();
            assert_eq!(p.name, name);
            params::<PretrainConfig>(&p.train.unwrap().params);
            let dpo = p.dpo.unwrap();
            params::<DpoConfig>(&dpo.params);
            params::<slam_preference::PairParams>(&dpo.pair);
            params::<slam_eval::aggregate::Convention>(&p.evaluate.unwrap().params["convention"]);
            params::<slam_units::features::FeatureConfig>(&p.tokeniser.features);
            let mut model = p.model.clone();
            model.as_object_mut().unwrap().remove("checkpoint");
            check::model(&model).unwrap();
        }
    }
}

#[test]
fn slam_toml_is_the_recipe() {
    let p = pipeline("slam", &[]);
    let train: PretrainConfig = params(&p.train.as_ref().unwrap().params);
    assert_eq!((train.context, train.rows, train.micro_rows), (1024, 128, 8));
    assert_eq!(json!(train.budget), json!({"steps": 17625}));
    let o = &train.optimiser;
    assert_eq!((o.peak_lr, o.min_lr, o.warmup, o.clip), (1e-3, 5e-5, 0.01, 0.5));
    assert_eq!((o.beta1, o.beta2, o.eps, o.weight_decay), (0.9, 0.999, 1e-8, 0.0));
    let dpo: DpoConfig = params(&p.dpo.as_ref().unwrap().params);
    assert_eq!((dpo.beta, dpo.pairs, dpo.optimiser.peak_lr), (0.1, 64, 5e-5));
    assert_eq!(json!(dpo.budget), json!({"steps": 813}));
    let mut model = p.model.clone();
    model.as_object_mut().unwrap().remove("checkpoint");
    let config = slam_lm::DecoderConfig::from_json(&model).unwrap();
    let sizes = (config.vocab_size, config.hidden_size, config.num_layers, config.num_kv_heads);
    assert_eq!((sizes, config.rope_theta), ((502, 896, 24, 2), 10_000.0));
}

#[test]
fn every_source_is_one_that_ingest_reads() {
    for name in NAMES {
        for dataset in pipeline(name, &[]).datasets {
            // Suites are read at planning.
            if dataset.source["kind"] == "suite" {
                continue;
            }
            let mut source = dataset.source.clone();
            source.as_object_mut().unwrap().remove("folder");
            params::<slam_corpus::source::SourceConfig>(&source);
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
    keys(&json!(params::<PretrainConfig>(&p.train.as_ref().unwrap().params)), &mut fields);
    keys(&json!(params::<DpoConfig>(&p.dpo.as_ref().unwrap().params)), &mut fields);
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
        let p = Pipeline::read(&path("demo"), false, &[set.to_owned()]);
        let Ok(p) = p else { return true };
        let (train, dpo) = (p.train.unwrap(), p.dpo.unwrap());
        serde_json::from_value::<PretrainConfig>(train.params).is_err()
            || serde_json::from_value::<DpoConfig>(dpo.params).is_err()
            || serde_json::from_value::<slam_preference::PairParams>(dpo.pair).is_err()
            || serde_json::from_value::<slam_units::features::FeatureConfig>(p.tokeniser.features)
                .is_err()
            || check::model(&p.model).is_err()
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

#[test]
fn the_run_keeps_the_file_with_everything_that_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline("demo", &["train.peak_lr=5e-4"]);
    Plan::of(&pipeline).unwrap();
    let file = RunFile { pipeline, data: "data".into(), notice: None };
    file.write(folder.path()).unwrap();
    let back = RunFile::read(folder.path()).unwrap();
    assert_eq!(back, file);
    let lr = &back.pipeline.train.unwrap().params["optimiser"]["peak_lr"];
    assert_eq!(lr.as_f64(), Some(5e-4));
}
