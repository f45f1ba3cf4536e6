#![allow(clippy::unwrap_used)]
use super::*;
use crate::TokenBatch;
use slam_nn::weights::write_safetensors;
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

fn logits(decoder: &Decoder, ids: &[u32]) -> Vec<f32> {
    let batch = TokenBatch::padded(&[ids], &decoder.device());
    decoder.logits(&batch).into_data().iter::<f32>().collect()
}

/// A checkpoint to change: tensors by name, and the configuration.
struct Draft {
    tensors: BTreeMap<String, (Vec<f32>, Vec<usize>)>,
    config: Value,
}

impl Draft {
    fn of(dir: &Path) -> Self {
        let weights = Weights::open(dir).unwrap();
        let tensors = weights.names().map(|n| (n.to_owned(), weights.tensor_f32(n).unwrap()));
        let config = std::fs::read(dir.join("config.json")).unwrap();
        Self { tensors: tensors.collect(), config: serde_json::from_slice(&config).unwrap() }
    }

    fn write_config(&self, dir: &Path) {
        std::fs::write(dir.join("config.json"), self.config.to_string()).unwrap();
    }

    fn write(&self, dir: &Path) {
        self.write_config(dir);
        self.write_tensors(&dir.join("model.safetensors"), |_| true);
    }

    fn write_tensors(&self, path: &Path, chosen: impl Fn(&str) -> bool) {
        let shapes: Vec<(String, Vec<usize>)> = self
            .tensors
            .iter()
            .filter(|(name, _)| chosen(name))
            .map(|(name, (_, shape))| (name.clone(), shape.clone()))
            .collect();
        write_safetensors(path, &shapes, &mut |name| self.tensors[name].0.clone()).unwrap();
    }

    fn load(&self) -> Result<Decoder, LmError> {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        Decoder::load(dir.path(), &Device::flex())
    }
}

#[test]
fn missing_extra_and_misshapen_tensors_are_listed_unless_allowed() {
    let mut draft = Draft::of(&fixtures().join("llama-untied"));
    let mut norm = draft.tensors.remove("model.norm.weight").unwrap();
    norm.1 = vec![norm.0.len(), 1];
    draft.tensors.insert("model.layers.0.input_layernorm.weight".into(), norm);
    draft.tensors.insert("score.weight".into(), (vec![0.0], vec![1]));
    let error = draft.load().unwrap_err();
    let LmError::Tensors { missing, unexpected, misshapen, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, &["model.norm.weight"]);
    assert_eq!(unexpected, &["score.weight"]);
    assert_eq!(misshapen.len(), 1);
    assert!(misshapen[0].starts_with("model.layers.0.input_layernorm.weight ["), "{misshapen:?}");
    for name in ["model.norm.weight", "score.weight", "input_layernorm", "allow"] {
        assert!(error.to_string().contains(name), "{error}");
    }

    let dir = tempfile::tempdir().unwrap();
    draft.write(dir.path());
    let allow = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        Decoder::load_allowing(dir.path(), &names, &Device::flex())
    };
    let all = ["model.norm.weight", "score.*", "model.layers.0.input_layernorm.weight"];
    let model = allow(&all).unwrap();
    model.for_each_param(&mut |name, p| {
        if name == "model.norm.weight" {
            assert!(p.to_f32().iter().all(|w| *w == 1.0), "a norm that starts anew is 1");
        }
    });
    assert!(allow(&all[1..]).is_err() && allow(&all[..2]).is_err());
}

#[test]
fn sharded_checkpoints_are_the_single_file_in_pieces() {
    let draft = Draft::of(&fixtures().join("gpt-neox"));
    let dir = tempfile::tempdir().unwrap();
    draft.write_config(dir.path());
    let shard = |name: &str| format!("model-{:05}-of-00003.safetensors", 1 + name.len() % 3);
    let map: serde_json::Map<String, Value> =
        draft.tensors.keys().map(|name| (name.clone(), json!(shard(name)))).collect();
    for file in map.values().map(|file| file.as_str().unwrap()) {
        draft.write_tensors(&dir.path().join(file), |name| shard(name) == file);
    }
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    let whole = Decoder::load(fixtures().join("gpt-neox"), &Device::flex()).unwrap();
    let pieces = Decoder::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(logits(&whole, &[1, 2, 3]), logits(&pieces, &[1, 2, 3]));
    std::fs::remove_file(dir.path().join(shard("model.x"))).unwrap();
    let error = Decoder::load(dir.path(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("of-00003.safetensors"), "{error}");
}

#[test]
fn an_untied_head_starts_as_the_embedding_and_a_tied_one_is_left_out() {
    let twist = |family: &str, tie| {
        let options = TwistOptions { tie_embeddings: tie, ..Default::default() };
        Decoder::from_text_lm(fixtures().join(family), 20, &options, &Device::flex()).unwrap()
    };
    let tables = |decoder: &Decoder| {
        let mut out = Vec::new();
        decoder.for_each_param(&mut |name, p| {
            if name.ends_with("embed_tokens.weight") || name == "lm_head.weight" {
                out.push(p.to_f32());
            }
        });
        out
    };
    let untied = tables(&twist("qwen2", Some(false)));
    assert_eq!(untied.len(), 2);
    assert_eq!(untied[0], untied[1]);
    // An untied text model keeps its own head's rows.
    let (own, text) = (twist("llama-untied", None), Draft::of(&fixtures().join("llama-untied")));
    let head = &text.tensors["lm_head.weight"].0;
    let rows = tables(&own);
    assert_eq!(rows[1][..], head[..rows[1].len()]);
    assert_ne!(rows[0], rows[1]);
    assert_eq!(tables(&twist("llama-untied", Some(true))).len(), 1);
    // Only a model that was tied may lack a head.
    let mut draft = text;
    draft.tensors.remove("lm_head.weight");
    let error = draft.load().unwrap_err().to_string();
    assert!(error.contains("lm_head.weight"), "{error}");
}

#[test]
fn twists_offset_puts_units_and_specials_in_our_order() {
    let mut draft = Draft::of(&fixtures().join("opt"));
    let plain = Decoder::load(fixtures().join("opt"), &Device::flex()).unwrap();
    let vocab = plain.config().vocab_size;
    draft.config["offset"] = json!(4);
    draft.config["bos_token_id"] = json!(3);
    let model = draft.load().unwrap();
    assert_eq!(model.config().vocab_size, vocab - 2);
    assert_eq!(model.config().eos_token_id, Some(1));
    // <S> is row 3, unit u is row u + 4, <PAD> row 0 as the configuration says.
    let (theirs, ours) = (logits(&plain, &[3, 9, 11, 4]), logits(&model, &[1, 7, 9, 2]));
    for (theirs, ours) in theirs.chunks(vocab).zip(ours.chunks(vocab - 2)) {
        let expected: Vec<f32> = [&[theirs[0], theirs[3]][..], &theirs[4..]].concat();
        for (a, b) in expected.iter().zip(ours) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    draft.config["offset"] = json!(vocab);
    assert!(draft.load().unwrap_err().to_string().contains("offset"));
}

#[test]
fn slamkits_configuration_names_a_model_on_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let decoder = Decoder::load(fixtures().join("qwen2"), &Device::flex()).unwrap();
    decoder.save(dir.path(), Format::Slamkit, None).unwrap();
    let mut draft = Draft::of(dir.path());
    assert_eq!(draft.config["base_model_name"], "Qwen/Qwen2.5-0.5B");
    assert!(draft.tensors.keys().all(|name| name.starts_with("lm.")));
    // Another one stays, a path on somebody's machine does not.
    for (said, kept) in [("slprl/base-7", Some("slprl/base-7")), ("/home/me/model", None)] {
        draft.config["base_model_name"] = json!(said);
        assert_eq!(draft.load().unwrap().config().base_model.as_deref(), kept);
    }
}

#[test]
fn hostile_configurations_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut draft = Draft { tensors: BTreeMap::new(), config: Value::Null };
    draft.write(dir.path());
    for family in ["qwen2", "llama-untied", "opt", "opt-post-norm-proj", "gpt-neox"] {
        let config = std::fs::read(fixtures().join(family).join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        for key in config.as_object().unwrap().keys() {
            let values =
                [json!(u64::MAX), json!(1u64 << 27), json!(0), json!(-1), json!("x"), json!([])];
            for value in values.into_iter().chain([json!({}), json!(1e300), json!(null)]) {
                draft.config = config.clone();
                draft.config[key] = value;
                draft.write_config(dir.path());
                // Nothing is in the file, so nothing may be made.
                assert!(Decoder::load(dir.path(), &Device::flex()).is_err(), "{family}: {key}");
            }
        }
    }
    for text in ["", "null", "[]", "{\"model_type\": {}}", "{\"model_type\": \"slm\"}", "\u{0}"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        assert!(Decoder::load(dir.path(), &Device::flex()).is_err());
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_its_file_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let config = std::fs::read(fixtures().join("qwen2/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let path = dir.path().join("config.json");
    for (field, value, said) in [
        ("hidden_size", Value::Null, "`hidden_size` is missing; it must be a whole number"),
        ("rope_theta", json!("x"), "`rope_theta` is \"x\"; it must be a number"),
        ("rope_scaling", json!({"rope_type": "linear"}), "`linear` lacks the number `factor`"),
        ("hidden_act", json!("tanh"), "hidden_act `tanh` is not supported; use silu"),
        ("model_type", json!("bert"), "use qwen2, llama, opt or gpt_neox"),
    ] {
        let mut config = config.clone();
        config[field] = value;
        if field == "rope_scaling" {
            config["rope_parameters"] = Value::Null;
        }
        std::fs::write(&path, config.to_string()).unwrap();
        let error = Decoder::load(dir.path(), &Device::flex()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
}
