//! Pipelines as files.
#![allow(clippy::unwrap_used)]

use super::*;

const TEXT: &str = r#"
name = "t"
[[datasets]]
name = "a"
rows = 100
source = { kind = "grammar", part = "stories" }
[tokeniser]
name = "m"
features = { kind = "mfcc", hop = 640 }
fit_on = "a"
[train]
datasets = ["a"]
params = { budget = { steps = 9 }, optimiser = { peak_lr = 1e-3 } }
[quick]
datasets = [{ name = "a", rows = 5 }]
train = { params = { budget = { steps = 2 } } }
"#;

fn read(text: &str, variant: Variant, set: &[&str]) -> Result<Pipeline, PipelineError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    fs::write(&path, text).unwrap();
    Pipeline::read(&path, variant, &set.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
}

#[test]
fn quick_values_and_overrides_are_laid_over_the_file() {
    let p = read(TEXT, Variant::Full, &[]).unwrap();
    assert_eq!(p.datasets[0].rows, 100);
    let p =
        read(TEXT, Variant::Quick, &["train.params.optimiser.peak_lr=5e-4", "datasets.a.shards=3"])
            .unwrap();
    assert_eq!((p.datasets[0].rows, p.datasets[0].shards), (5, 3));
    let params = p.train.unwrap().params;
    assert_eq!((params.budget, params.optimiser.peak_lr), (Budget::Steps(2), 5e-4));
}

#[test]
fn a_parameter_is_set_by_its_short_name_where_the_file_has_it() {
    let text = TEXT.replace(
        "params = { budget = { steps = 9 }, optimiser = { peak_lr = 1e-3 } }",
        "params = { budget = { steps = 9 }, rows = 8, optimiser = { peak_lr = 1e-3 } }",
    );
    let set = ["train.peak_lr=5e-4", "train.rows=4", "train.params.optimiser.clip=1.0"];
    let p = read(&text, Variant::Full, &set).unwrap().train.unwrap().params;
    assert_eq!((p.rows, p.optimiser.peak_lr, p.optimiser.clip), (4, 5e-4, 1.0));
    let error = read(&text, Variant::Full, &["train.peek_lr=1"]).unwrap_err().to_string();
    assert!(error.contains("train.params.optimiser.peek_lr"), "{error}");
}

#[test]
fn unknown_fields_and_datasets_are_refused_by_name() {
    let error = read(&format!("nam = 1\n{TEXT}"), Variant::Full, &[]).unwrap_err().to_string();
    assert!(error.contains("nam"), "{error}");
    for set in ["train.params.x=1", "train.x=1", "tokeniser.features.x=1", "datasets.a.source.x=1"]
    {
        assert!(read(TEXT, Variant::Full, &[set]).is_err(), "{set}");
    }
    let error = read(TEXT, Variant::Full, &["trian.x=1"]).unwrap_err().to_string();
    assert!(error.contains("trian"), "{error}");
    let error = read(TEXT, Variant::Full, &["train.datasets=[\"b\"]"]).unwrap_err().to_string();
    assert!(error.contains("'b'"), "{error}");
}

#[test]
fn centroids_come_from_one_place() {
    for set in ["tokeniser.centroids=\"c.npy\"", "tokeniser.fit_on=\"\""] {
        assert!(read(TEXT, Variant::Full, &[set]).is_err(), "{set}");
    }
    let text = TEXT.replace("fit_on = \"a\"", "centroids = \"c.npy\"");
    assert!(read(&text, Variant::Full, &[]).is_ok());
}

#[test]
fn a_time_budget_is_shared_with_preference_optimisation_where_there_is_one() {
    let mut p = read(TEXT, Variant::Full, &[]).unwrap();
    p.set_time_budget(Duration::from_secs(100), 0.25);
    assert_eq!(p.train.unwrap().params.budget, Budget::Seconds(100.0));
    let text = TEXT.replace(
        "[quick]",
        "[dpo]\ndatasets = [\"a\"]\nparams = { budget = { steps = 1 } }\n[quick]",
    );
    let mut p = read(&text, Variant::Full, &[]).unwrap();
    p.set_time_budget(Duration::from_secs(100), 0.25);
    assert_eq!(p.train.unwrap().params.budget, Budget::Seconds(75.0));
    assert_eq!(p.dpo.unwrap().params.budget, Budget::Seconds(25.0));
}
#[test]
fn pairs_that_name_no_dataset_or_stand_in_the_wrong_place_are_refused() {
    for (source, says) in [
        (r#"{ kind = "own-continuation" }"#, "`of`"),
        (r#"{ kind = "own-continuation", of = "nowhere" }"#, "'nowhere'"),
        (r#"{ kind = "own-continuation", of = "p" }"#, "'p'"),
        (r#"{ kind = "sampled", of = "a", scorer = { url = "x" } }"#, "`checkpoint`"),
        (r#"{ kind = "slamkit-pairs" }"#, "`folder`"),
    ] {
        let pairs =
            format!("[[datasets]]\nname = \"p\"\nrole = \"preference\"\nsource = {source}\n");
        let text = TEXT.replace("[tokeniser]", &format!("{pairs}[tokeniser]"));
        let error = read(&text, Variant::Full, &[]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let speech = text.replace("role = \"preference\"\n", "");
        assert!(read(&speech, Variant::Full, &[]).is_err(), "{source}");
    }
}

#[test]
fn a_pipeline_comes_back_from_json_whole() {
    let text = TEXT.replace("[tokeniser]", "[model]\nhidden_size = 8\n[tokeniser]");
    let p = read(&text, Variant::Full, &["model.checkpoint=\"m\""]).unwrap();
    assert_eq!(p.model.config["hidden_size"], 8);
    let json = serde_json::to_string(&p).unwrap();
    assert_eq!(serde_json::from_str::<Pipeline>(&json).unwrap(), p);
}

#[test]
fn a_name_that_leaves_the_data_root_and_a_number_that_is_none_are_refused() {
    for name in ["", ".", "..", "../up", "/abs", "a/b", ".plans", "slam.lock", "a\\nb", "a\\\\b"] {
        let text = TEXT.replace("name = \"a\"", &format!("name = \"{name}\""));
        assert_ne!(text, TEXT);
        let error = read(&text, Variant::Full, &[]).unwrap_err().to_string();
        assert!(
            error.contains("cannot name a") || error.contains("does not define"),
            "{name}: {error}"
        );
        let error = read(TEXT, Variant::Full, &[&format!("tokeniser.name=\"{name}\"")]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot name a tokeniser"), "{name}: {error}");
    }
    for number in ["nan", "inf", "-inf"] {
        let set = format!("datasets.a.max_seconds={number}");
        let error = read(TEXT, Variant::Full, &[&set]).unwrap_err().to_string();
        assert!(error.contains("not a finite number"), "{error}");
        let text = TEXT.replace("peak_lr = 1e-3", &format!("peak_lr = {number}"));
        let error = read(&text, Variant::Full, &[]).unwrap_err().to_string();
        assert!(error.contains("train.params.optimiser.peak_lr is not"), "{error}");
    }
    let error = read(TEXT, Variant::Full, &["datasets.a.max_seconds=-1"]).unwrap_err().to_string();
    assert!(error.contains("max_seconds must be"), "{error}");
}

#[test]
fn what_would_fail_after_hours_of_ingest_is_refused_at_once() {
    let folder = TEXT.replace("kind = \"grammar\", part = \"stories\"", "kind = \"folder\"");
    let benchmark = TEXT.replace("rows = 100", "rows = 100\nrole = \"benchmark\"");
    for (text, set, says) in [
        (TEXT, "tokeniser.kmeans.k=0", "tokeniser.kmeans.k is 0"),
        (TEXT, "tokeniser.kmeans.k=65536", "must be 1 to 65,535"),
        (TEXT, "tokeniser.features.hop=0", "mfcc.hop is 0"),
        (TEXT, "tokeniser.features.hop=100", "multiple of 160"),
        (TEXT, "tokeniser.features.filters=1", "mfcc.filters is 1"),
        (TEXT, "datasets.a.shards=0", "shards is 0"),
        (TEXT, "datasets.a.shards=4294967295", "must be 1 to 99,999"),
        (&benchmark, "name=\"t\"", "'a', which is a benchmark"),
        (&folder, "datasets.a.source.validation_percent=101", "validation_percent must be"),
    ] {
        let error = read(text, Variant::Full, &[set]).unwrap_err().to_string();
        assert!(error.contains(says), "{set}: {error}");
    }
}
