//! A tiny decoder with random weights: sequences' likelihoods, continuations of a prompt, and a checkpoint.

use std::error::Error;
use std::ops::ControlFlow;

use slam_lm::checkpoint::Format;
use slam_lm::generate::{GenerateOptions, generate};
use slam_lm::score::sequence_nlls;
use slam_lm::{BOS, Decoder, DecoderConfig, FIRST_UNIT};
use slam_nn::device::Device;

/// Units of the tokeniser.
const UNITS: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    // Any `config.json` of a supported family does; this is Qwen2's shape, very small.
    let (hidden, inner, layers, heads, kv_heads, positions) = (64, 128, 2, 4, 2, 256);
    let vocab = UNITS + FIRST_UNIT as usize;
    let config = DecoderConfig::qwen2(vocab, hidden, inner, layers, heads, kv_heads, positions);
    let device = Device::flex();
    let decoder = Decoder::random(&config, 1, &device)?;
    println!("{} parameters", decoder.num_parameters());

    // A sequence begins and ends with `<S>`.
    let sequence = |units: &[u32]| -> Vec<u32> {
        let units = units.iter().map(|unit| unit + FIRST_UNIT);
        [BOS].into_iter().chain(units).chain([BOS]).collect()
    };
    let sequences = [sequence(&[17, 4, 311, 20]), sequence(&[17, 4, 99])];
    let borrowed: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let scores = sequence_nlls(&decoder, &borrowed)?;
    for (sequence, score) in sequences.iter().zip(&scores) {
        println!("{sequence:?}: {:.3} nats a token", score.mean());
    }

    // Sampled as the recipe does; `GenerateOptions::greedy` takes the likeliest token each time.
    let prompt = &sequences[0][..4];
    let options = GenerateOptions { max_new_tokens: 12, ..GenerateOptions::default() };
    let continued = generate(&decoder, &[prompt], &options, &mut |_, token| {
        println!("token {token}");
        ControlFlow::Continue(())
    })?;
    let units: Vec<u32> = continued[0].iter().filter_map(|t| t.checked_sub(FIRST_UNIT)).collect();
    println!("units {units:?}");

    // What transformers' `AutoModelForCausalLM.from_pretrained` loads, and this crate again.
    let folder = std::env::temp_dir().join(format!("unit-model-{}", std::process::id()));
    decoder.save(&folder, Format::HuggingFace, None)?;
    let loaded = Decoder::load(&folder, &device);
    std::fs::remove_dir_all(&folder)?;
    let again = sequence_nlls(&loaded?, &borrowed)?;
    println!("the loaded decoder gives the same scores: {}", again == scores);
    Ok(())
}
