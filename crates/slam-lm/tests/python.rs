//! Round trips through Python's transformers. Skipped with a message where Python lacks them.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use slam_lm::checkpoint::Format;
use slam_lm::generate::{GenerateOptions, generate, probabilities};
use slam_lm::{Decoder, DecoderConfig, TokenBatch};
use slam_nn::weights::Weights;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Loads a checkpoint folder with transformers, writes the logits of one row of ids, and prints the
/// tokenizer's ids and the greedy speed where asked to.
const SCRIPT: &str = r#"
import sys, time, torch, warnings
from transformers import AutoModelForCausalLM, AutoTokenizer
from safetensors.torch import save_file
folder, out, ids, new = sys.argv[1], sys.argv[2], [int(i) for i in sys.argv[3].split(",")], int(sys.argv[4])
model, info = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", torch_dtype=torch.float32, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
x = torch.tensor([ids])
with torch.inference_mode():
    save_file({"logits": model(input_ids=x).logits[0].contiguous()}, out)
    if new:
        t = time.time(); model.generate(x, max_new_tokens=new, do_sample=False, eos_token_id=None, repetition_penalty=1.0)
        print("tokens per second", new / (time.time() - t), file=sys.stderr)
model.save_pretrained(folder + "/again")
tok = AutoTokenizer.from_pretrained(folder)
print(",".join(map(str, tok("".join(f"<Un{u}>" for u in (0, 3, 11)))["input_ids"])))
"#;

const FAMILIES: [&str; 5] = ["qwen2", "llama-untied", "opt", "opt-post-norm-proj", "gpt-neox"];

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

/// The interpreters that have transformers: the pinned version and the newest.
fn pythons() -> Vec<PathBuf> {
    slam_testing::pythons(&["torch", "transformers", "safetensors"])
}

/// Logits of Python for a folder saved here, and what Python's tokenizer says.
fn in_python(python: &Path, folder: &Path, ids: &[u32], new: usize) -> (Vec<f32>, String) {
    let out = folder.join("logits.safetensors");
    let list: Vec<String> = ids.iter().map(u32::to_string).collect();
    let run = Command::new(python)
        .args(["-c", SCRIPT])
        .args([folder, &out])
        .args([list.join(","), new.to_string()])
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{talk}");
    for line in talk.lines().filter(|line| line.starts_with("tokens per second")) {
        eprintln!("transformers: {line}");
    }
    let logits = Weights::open(&out).unwrap().tensor_f32("logits").unwrap().0;
    (logits, String::from_utf8_lossy(&run.stdout).trim().to_owned())
}

/// Runs a script with a folder, the file of its tensors, and ids.
fn run_script(python: &Path, script: &str, folder: &Path, ids: &[u32]) -> Weights {
    let out = folder.join("tensors.safetensors");
    let list: Vec<String> = ids.iter().map(u32::to_string).collect();
    let run = Command::new(python)
        .args(["-c", script])
        .args([folder, &out])
        .arg(list.join(","))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Weights::open(&out).unwrap()
}

fn logits(decoder: &Decoder, ids: &[u32]) -> Vec<f32> {
    let batch = TokenBatch::padded(&[ids], &decoder.device());
    decoder.logits(&batch).into_data().iter::<f32>().collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn exported_checkpoints_load_in_transformers_and_come_back() {
    let ids = [1, 5, 9, 13, 2, 33, 8, 41, 7];
    let pythons = pythons();
    for (python, family) in pythons.iter().flat_map(|p| FAMILIES.map(|family| (p, family))) {
        let decoder = Decoder::load(fixtures().join(family), &Device::flex()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        decoder.save(folder.path(), Format::HuggingFace, None).unwrap();
        let (theirs, tokens) = in_python(python, folder.path(), &ids, 0);
        let off = largest_difference(&logits(&decoder, &ids), &theirs);
        let version = python.display();
        assert!(off <= 1e-4, "{version}, {family}: {off}");
        assert_eq!(tokens, "1,2,5,13,1", "{version}, {family}");
        let back = Decoder::load(folder.path().join("again"), &Device::flex()).unwrap();
        assert_eq!(logits(&back, &ids), logits(&decoder, &ids), "{family}");
    }
}

/// What slamkit's `UnitLM.from_pretrained` does with a folder, without the hub that it asks for the base
/// configuration: the model of `base_config` with the wrapper's vocabulary, under the name `lm`.
const SLAMKIT: &str = r#"
import json, os, sys, torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PretrainedConfig
from safetensors.torch import save_file
folder, out, ids = sys.argv[1], sys.argv[2], [int(i) for i in sys.argv[3].split(",")]
class UnitLMConfig(PretrainedConfig):
    model_type = "speech_language_model"
    def __init__(self, base_config=None, vocab_size=502, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        base = dict(base_config or {"model_type": "qwen2"})
        base["torch_dtype"] = None
        self.base_config = AutoConfig.for_model(base.pop("model_type"), **base)
        self.tie_word_embeddings = self.base_config.tie_word_embeddings
class UnitLM(PreTrainedModel):
    config_class, base_model_prefix = UnitLMConfig, "lm"
    def __init__(self, config):
        super().__init__(config)
        self.lm = AutoModelForCausalLM.from_config(config.base_config, attn_implementation="eager")
        self.lm.resize_token_embeddings(config.vocab_size)
        self.post_init()
    def get_input_embeddings(self): return self.lm.get_input_embeddings()
    def get_output_embeddings(self): return self.lm.get_output_embeddings()
    def set_output_embeddings(self, new): self.lm.set_output_embeddings(new)
logits = {}
for family in sorted(os.listdir(folder)):
    said = json.load(open(f"{folder}/{family}/config.json"))
    assert said["architectures"] == ["UnitLM"] and said["base_model_name"].count("/") == 1, said
    model, info = UnitLM.from_pretrained(f"{folder}/{family}", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    with torch.inference_mode():
        logits[family] = model.lm(input_ids=torch.tensor([ids])).logits[0].float().contiguous()
save_file(logits, out)
"#;

#[test]
fn checkpoints_in_slamkits_form_load_as_its_unit_lm_does() {
    let Some(python) = slam_testing::python(&["torch", "transformers"]) else { return };
    let ids = [1, 5, 9, 13, 2, 33, 8, 41, 7];
    let folder = tempfile::tempdir().unwrap();
    let decoder = |family| Decoder::load(fixtures().join(family), &Device::flex()).unwrap();
    for family in FAMILIES {
        decoder(family).save(&folder.path().join(family), Format::Slamkit, None).unwrap();
    }
    let theirs = run_script(&python, SLAMKIT, folder.path(), &ids);
    for family in FAMILIES {
        let theirs = theirs.tensor_f32(family).unwrap().0;
        let off = largest_difference(&logits(&decoder(family), &ids), &theirs);
        assert!(off <= 1e-4, "{family}: {off}");
    }
}

/// Logits of random models with each rotary scaling that public checkpoints of the families have.
const ROTARY: &str = r#"
import sys, torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, GPTNeoXConfig
from safetensors.torch import save_file
folder, out, ids = sys.argv[1], sys.argv[2], [int(i) for i in sys.argv[3].split(",")]
small = dict(vocab_size=42, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=128, attn_implementation="eager")
llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
yarn = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
models = {
    "llama3": LlamaConfig(rope_theta=500000.0, rope_scaling=llama3, **small),
    "linear": LlamaConfig(rope_scaling=dict(rope_type="linear", factor=8.0), **small),
    "dynamic": LlamaConfig(rope_scaling=dict(rope_type="dynamic", factor=2.0), **small),
    "yarn": Qwen2Config(num_key_value_heads=2, rope_scaling=yarn, **small),
    "neox-linear": GPTNeoXConfig(rope_scaling=dict(rope_type="linear", factor=2.0), **small),
}
logits = {}
for name, config in models.items():
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder + "/" + name)
    with torch.inference_mode(): logits[name] = model(input_ids=torch.tensor([ids])).logits[0].contiguous()
save_file(logits, out)
"#;

#[test]
fn scaled_rotary_positions_are_those_of_transformers() {
    for python in pythons() {
        scaled_rotary_positions_are_those_of(&python);
    }
}

fn scaled_rotary_positions_are_those_of(python: &Path) {
    let ids: Vec<u32> = (0..100).map(|i| 1 + i * 7 % 41).collect();
    let folder = tempfile::tempdir().unwrap();
    let expected = run_script(python, ROTARY, folder.path(), &ids);
    assert_eq!(expected.names().count(), 5);
    for name in expected.names() {
        let decoder = Decoder::load(folder.path().join(name), &Device::flex()).unwrap();
        let theirs = expected.tensor_f32(name).unwrap().0;
        let off = largest_difference(&logits(&decoder, &ids), &theirs);
        assert!(off <= 1e-4, "{name}: {off}");
    }
}

/// Probabilities after transformers' own processors, in the order of its `generate`.
const PROCESSORS: &str = r#"
import sys, torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from safetensors.torch import save_file
folder, out, ids = sys.argv[1], sys.argv[2], [int(i) for i in sys.argv[3].split(",")]
torch.manual_seed(5)
logits = 3 * torch.randn(8, 502)
tables = {"logits": logits}
for name, (penalty, temperature, k, p) in {"a": (1.1, 0.8, 25, 1.0), "b": (1.3, 1.0, 0, 0.9), "c": (1.0, 0.7, 50, 0.5), "d": (1.5, 1.9, 502, 0.99), "e": (1.0, 1.0, 0, 0.05)}.items():
    steps = LogitsProcessorList()
    if penalty != 1.0: steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    if temperature != 1.0: steps.append(TemperatureLogitsWarper(temperature))
    if k: steps.append(TopKLogitsWarper(k))
    if p < 1.0: steps.append(TopPLogitsWarper(p))
    tables[name] = steps(torch.tensor([ids] * 8), logits.clone()).softmax(-1)
save_file({k: v.contiguous() for k, v in tables.items()}, out)
"#;

#[test]
fn penalty_temperature_top_k_and_top_p_are_those_of_transformers() {
    for python in pythons() {
        penalty_temperature_top_k_and_top_p_are_those_of(&python);
    }
}

fn penalty_temperature_top_k_and_top_p_are_those_of(python: &Path) {
    let seen: Vec<u32> = (0..60).map(|i| i * 11 % 502).collect();
    let folder = tempfile::tempdir().unwrap();
    let tables = run_script(python, PROCESSORS, folder.path(), &seen);
    let (logits, shape) = tables.tensor_f32("logits").unwrap();
    for (name, [repetition_penalty, temperature, top_p], top_k) in [
        ("a", [1.1, 0.8, 1.0], 25),
        ("b", [1.3, 1.0, 0.9], 0),
        ("c", [1.0, 0.7, 0.5], 50),
        ("d", [1.5, 1.9, 0.99], 502),
        ("e", [1.0, 1.0, 0.05], 0),
    ] {
        let options = GenerateOptions {
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            ..GenerateOptions::default()
        };
        let expected = tables.tensor_f32(name).unwrap().0;
        for (logits, expected) in logits.chunks(shape[1]).zip(expected.chunks(shape[1])) {
            let found = probabilities(logits, &seen, &options);
            let kept = |p: &[f32]| -> Vec<bool> { p.iter().map(|p| *p > 0.0).collect() };
            assert_eq!(kept(&found), kept(expected), "{name}: another set is drawn from");
            assert!(largest_difference(&found, expected) < 1e-6, "{name}");
        }
    }
}

#[test]
fn the_recipes_decoder_at_full_size_equals_transformers() {
    if std::env::var_os("SLAM_SLOW").is_none() {
        eprintln!("SKIPPED: set SLAM_SLOW=1 for the full-size comparison (6 GiB, a minute)");
        return;
    }
    let Some(python) = slam_testing::python(&["torch", "transformers"]) else { return };
    let config = DecoderConfig { max_positions: 2048, ..DecoderConfig::slam() };
    let decoder = Decoder::random(&config, 1, &Device::flex()).unwrap();
    assert_eq!(decoder.num_parameters(), 358_347_904);
    let folder = tempfile::tempdir().unwrap();
    decoder.save(folder.path(), Format::HuggingFace, None).unwrap();
    let ids: Vec<u32> = (0..200).map(|i| 2 + i * 37 % 500).collect();
    let (theirs, _) = in_python(&python, folder.path(), &ids, 20);
    let off = largest_difference(&logits(&decoder, &ids), &theirs);
    eprintln!("largest difference of the logits: {off}");
    assert!(off <= 2e-3, "{off}");
    let options = GenerateOptions { stop: None, ..GenerateOptions::greedy(20) };
    let start = Instant::now();
    generate(&decoder, &[&ids], &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
    eprintln!("here: tokens per second {}", 20.0 / start.elapsed().as_secs_f64());
}
