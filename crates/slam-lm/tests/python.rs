//! Round trips through Python's transformers. Skipped with a message where Python lacks them.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use slam_lm::checkpoint::Format;
use slam_lm::generate::{GenerateOptions, generate};
use slam_lm::{Decoder, DecoderConfig, TokenBatch};
use slam_nn::weights::Weights;
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

/// The interpreter that has transformers, or a message.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("SLAM_PYTHON").unwrap_or("python3".into()));
    let probe = Command::new(&python)
        .args(["-c", "import torch, transformers, safetensors"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !probe {
        eprintln!(
            "SKIPPED: {} lacks torch, transformers or safetensors; install them with pip or name \
             another interpreter in SLAM_PYTHON",
            python.display()
        );
    }
    probe.then_some(python)
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
    let Some(python) = python() else { return };
    let fixtures = std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    );
    let ids = [1, 5, 9, 13, 2, 33, 8, 41, 7];
    for family in ["qwen2", "llama-untied", "opt", "opt-post-norm-proj", "gpt-neox"] {
        let decoder = Decoder::load(fixtures.join(family), &Device::flex()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        decoder.save(folder.path(), Format::HuggingFace, None).unwrap();
        let (theirs, tokens) = in_python(&python, folder.path(), &ids, 0);
        let off = largest_difference(&logits(&decoder, &ids), &theirs);
        assert!(off <= 1e-4, "{family}: {off}");
        assert_eq!(tokens, "1,2,5,13,1");
        let back = Decoder::load(folder.path().join("again"), &Device::flex()).unwrap();
        assert_eq!(logits(&back, &ids), logits(&decoder, &ids), "{family}");
    }
}

#[test]
fn the_recipes_decoder_at_full_size_equals_transformers() {
    if std::env::var_os("SLAM_SLOW").is_none() {
        eprintln!("SKIPPED: set SLAM_SLOW=1 for the full-size comparison (6 GiB, a minute)");
        return;
    }
    let Some(python) = python() else { return };
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
    generate(&decoder, &[&ids], &options, &mut |_, _| {}).unwrap();
    eprintln!("here: tokens per second {}", 20.0 / start.elapsed().as_secs_f64());
}
