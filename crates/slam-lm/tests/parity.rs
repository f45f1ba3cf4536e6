//! Decoders, scores and generation against the fixtures of transformers.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor};
use slam_lm::generate::{GenerateOptions, generate, probabilities};
use slam_lm::{Decoder, DecoderConfig, TokenBatch, batch, checkpoint, score, tokenizer};
use slam_nn::params::Parameters;
use slam_nn::weights::Weights;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const FAMILIES: [&str; 5] = ["qwen2", "llama-untied", "opt", "opt-post-norm-proj", "gpt-neox"];

fn fixtures() -> PathBuf {
    std::env::var_os("SLAM_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    )
}

fn expected(name: &str) -> Weights {
    Weights::open(fixtures().join(name).join("expected.safetensors")).unwrap()
}

fn rows(weights: &Weights, name: &str) -> Vec<Vec<u32>> {
    let (ids, shape) = weights.tensor_i64(name).unwrap();
    let width = *shape.last().unwrap();
    ids.chunks_exact(width).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn segments(rows: &[Vec<u32>]) -> Vec<Vec<&[u32]>> {
    rows.iter().map(|row| vec![row.as_slice()]).collect()
}

fn go_on(_: usize, _: u32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn logits_loss_and_every_gradient_equal_transformers() {
    let device = Device::flex().autodiff();
    for family in FAMILIES {
        let expected = expected(family);
        let mut decoder = Decoder::load(fixtures().join(family), &device).unwrap();
        decoder.for_each_param_mut(&mut |_, p| p.make_leaf());
        let ids = rows(&expected, "input_ids");
        let segments = segments(&ids);
        let batch = TokenBatch::packed(&segments, &device);
        let logits = floats(decoder.logits(&batch));
        let off = distance(&logits, &expected.tensor_f32("logits").unwrap().0);
        assert!(off <= 1e-4, "{family}: logits differ by {off}");

        let tokens: usize = ids.iter().map(|row| row.len() - 1).sum();
        let nll = decoder.token_nll(&batch, batch::next_tokens(&segments, &device));
        let loss = nll.sum() / tokens as f64;
        let off = distance(&floats(loss.clone()), &expected.tensor_f32("loss").unwrap().0);
        assert!(off <= 1e-5, "{family}: loss differs by {off}");

        let mut grads = loss.backward();
        let mut seen = 0;
        decoder.for_each_param(&mut |name, p| {
            let grad = p.take_gradient(&mut grads).map(floats);
            let want = expected.tensor_f32(&format!("grad.{name}")).unwrap().0;
            let largest = want.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            let off = distance(&grad.unwrap(), &want);
            // Key biases have no gradient in exact arithmetic: softmax ignores them.
            assert!(off <= 1e-4 * largest.max(1e-4), "{family}: {name} {off} of {largest}");
            seen += 1;
        });
        assert_eq!(seen, expected.names().filter(|name| name.starts_with("grad.")).count());
    }
}

#[test]
fn packed_rows_equal_unpacked_ones() {
    let device = Device::flex();
    for family in FAMILIES {
        let expected = expected(family);
        let decoder = Decoder::load(fixtures().join(family), &device).unwrap();
        let ids = rows(&expected, "packed.input_ids").remove(0);
        let mut rest = ids.as_slice();
        let mut row = Vec::new();
        for length in expected.tensor_i64("packed.lengths").unwrap().0 {
            let (piece, tail) = rest.split_at(length as usize);
            row.push(piece);
            rest = tail;
        }
        let want = expected.tensor_f32("packed.logits").unwrap().0;
        // A longer row beside it pads the packed one.
        let longer: Vec<u32> = [ids.as_slice(), &ids[..7]].concat();
        let logits = decoder.logits(&TokenBatch::packed(&[row, vec![&longer]], &device));
        let off = distance(&floats(logits)[..want.len()], &want);
        assert!(off <= 1e-4, "{family}: {off}");
    }
}

#[test]
fn configurations_survive_their_own_json() {
    for family in FAMILIES {
        let config = checkpoint::read_config(&fixtures().join(family)).unwrap();
        assert_eq!(DecoderConfig::from_json(&config.to_json()).unwrap(), config);
    }
}

#[test]
fn checkpoints_of_both_formats_load_back_with_the_same_bytes() {
    let device = Device::flex();
    for family in FAMILIES {
        let decoder = Decoder::load(fixtures().join(family), &device).unwrap();
        for format in [checkpoint::Format::Slamkit, checkpoint::Format::HuggingFace] {
            let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            decoder.save(a.path(), format, Some("# card\n")).unwrap();
            let back = Decoder::load(a.path(), &device).unwrap();
            assert_eq!(back.config(), decoder.config());
            back.save(b.path(), format, Some("# card\n")).unwrap();
            for file in ["model.safetensors", "config.json", "tokenizer.json", "README.md"] {
                let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
                assert_eq!(read(a.path()), read(b.path()), "{family}: {file}");
            }
        }
    }
}

fn embedding(decoder: &Decoder) -> Vec<f32> {
    let mut out = Vec::new();
    decoder.for_each_param(&mut |name, p| {
        if name.contains("embed_tokens") {
            out = p.to_f32();
        }
    });
    out
}

#[test]
fn twist_keeps_the_first_rows_and_grows_near_the_mean() {
    let dir = fixtures().join("twist");
    let want = Weights::open(dir.join("expected_shrunk_to_42.safetensors")).unwrap();
    let (want, shape) = want.tensor_f32("embedding").unwrap();
    let options = checkpoint::TwistOptions { rope_theta: Some(5e3), ..Default::default() };
    let text = dir.join("text-lm");
    let shrink = |n| Decoder::from_text_lm(&text, n, &options, &Device::flex()).unwrap();
    let small = shrink(shape[0]);
    assert_eq!(embedding(&small), want);
    assert_eq!((small.config().rope_theta, small.config().vocab_size), (5e3, shape[0]));
    let text_rows = checkpoint::read_config(&text).unwrap().vocab_size;
    let (all, grown) = (embedding(&shrink(text_rows)), embedding(&shrink(text_rows + 9)));
    assert_eq!(grown[..all.len()], all);
    let mean = |i: usize| all.iter().skip(i).step_by(shape[1]).sum::<f32>() / text_rows as f32;
    for (i, value) in grown[all.len()..].iter().enumerate() {
        assert!((value - mean(i % shape[1])).abs() < 1e-4);
    }
}

#[test]
fn sequence_scores_equal_the_padded_reference() {
    let decoder = Decoder::load(fixtures().join("qwen2"), &Device::flex()).unwrap();
    let expected = expected("scoring");
    let lengths = expected.tensor_i64("lengths").unwrap().0;
    let ids = rows(&expected, "input_ids");
    let rows: Vec<&[u32]> = ids.iter().zip(&lengths).map(|(r, n)| &r[..*n as usize]).collect();
    let scores = score::sequence_nlls(&decoder, &rows).unwrap();
    let sums: Vec<f32> = scores.iter().map(|s| s.sum as f32).collect();
    let means: Vec<f32> = scores.iter().map(|s| s.mean() as f32).collect();
    assert!(distance(&sums, &expected.tensor_f32("sum_nll").unwrap().0) < 1e-4);
    assert!(distance(&means, &expected.tensor_f32("mean_nll").unwrap().0) < 1e-5);
    // With and without the final <S>.
    let ended: Vec<u32> = [rows[1], &[1]].concat();
    let ended = score::sequence_nlls(&decoder, &[&ended]).unwrap()[0];
    assert_eq!(ended.tokens, scores[1].tokens + 1);
    assert!((ended.without_end().sum - scores[1].sum).abs() < 1e-4);
    let error = score::sequence_nlls(&decoder, &[&[1, 2], &[1, 99_999]]).unwrap_err().to_string();
    assert!(error.contains("sequence 1") && error.contains("99999"), "{error}");
}

#[test]
fn scores_are_those_of_each_sequence_alone() {
    for family in FAMILIES {
        let decoder = Decoder::load(fixtures().join(family), &Device::flex()).unwrap();
        let sequences: Vec<Vec<u32>> =
            (0..9u32).map(|n| (0..=n * 5).map(|i| 1 + (i * i + n) % 41).collect()).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let together = score::sequence_nlls(&decoder, &sequences).unwrap();
        for (sequence, score) in sequences.iter().zip(&together) {
            let alone = score::sequence_nlls(&decoder, &[sequence]).unwrap()[0];
            assert_eq!((alone.tokens, alone.ends), (score.tokens, score.ends));
            // f32 products of another shape add in another order: some 1e-7 of a token's share. Padding that
            // counted would show as whole nats.
            let near = |a: f64, b: f64| (a - b).abs() <= 2e-6 * (1 + alone.tokens) as f64;
            assert!(
                near(alone.sum, score.sum) && near(alone.last, score.last),
                "{family}, {} tokens: {alone:?} alone, {score:?} together",
                sequence.len()
            );
        }
        assert_eq!((together[0].tokens, together[0].sum), (0, 0.0));
    }
}

#[test]
fn generation_is_that_of_transformers() {
    let decoder = Decoder::load(fixtures().join("qwen2"), &Device::flex()).unwrap();
    let text = std::fs::read_to_string(fixtures().join("generation/greedy.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ids = |key: &str| -> Vec<u32> {
        json[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
    };
    let prompt = ids("prompt");
    for (key, penalty) in
        [("greedy", 1.0), ("repetition_penalty_1.1", 1.1), ("repetition_penalty_1.5", 1.5)]
    {
        let want = ids(key);
        let new = want.len() - prompt.len();
        let options = GenerateOptions {
            repetition_penalty: penalty,
            stop: None,
            ..GenerateOptions::greedy(new)
        };
        // A shorter batch-mate changes nothing.
        let mut heard = Vec::new();
        let out = generate(&decoder, &[&prompt[..4], &prompt], &options, &mut |i, id| {
            if i == 1 {
                heard.push(id);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(out[1], want[prompt.len()..], "{key}");
        assert_eq!(out[1], heard);
        let alone = generate(&decoder, &[&prompt[..4]], &options, &mut go_on).unwrap();
        assert_eq!(out[0], alone[0]);
    }
    let processed = Weights::open(fixtures().join("generation/processed.safetensors")).unwrap();
    let logits = processed.tensor_f32("logits").unwrap().0;
    let options = GenerateOptions { repetition_penalty: 1.0, ..GenerateOptions::default() };
    let p = probabilities(&logits, &prompt, &options);
    assert!(distance(&p, &processed.tensor_f32("probabilities_t08_k25").unwrap().0) < 1e-6);
}

#[test]
fn sampling_depends_on_the_seed_alone_and_ends_at_s_or_on_demand() {
    let decoder = Decoder::load(fixtures().join("qwen2"), &Device::flex()).unwrap();
    let prompts: [&[u32]; 3] = [&[1, 7, 9], &[1, 3, 8, 40, 12, 5], &[1]];
    let options =
        GenerateOptions { max_new_tokens: 60, temperature: 1.5, seed: 3, ..Default::default() };
    let together = generate(&decoder, &prompts, &options, &mut go_on).unwrap();
    assert_eq!(together, generate(&decoder, &prompts, &options, &mut go_on).unwrap());
    let other = GenerateOptions { seed: 4, ..options.clone() };
    assert_ne!(together, generate(&decoder, &prompts, &other, &mut go_on).unwrap());
    // The first prompt draws the same numbers whoever is beside it.
    let alone = generate(&decoder, &prompts[..1], &options, &mut go_on).unwrap();
    assert_eq!(alone[0], together[0]);
    let ended = together.iter().filter(|tokens| tokens.contains(&1)).count();
    assert!(ended > 0, "a model over 42 tokens that draws 180 ends somewhere: {together:?}");
    for tokens in &together {
        let end = tokens.iter().position(|id| *id == 1);
        assert_eq!(tokens.len(), end.map_or(60, |end| end + 1));
    }
    let mut left = 5;
    let broken = generate(&decoder, &prompts, &options, &mut |_, _| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let broken = broken.unwrap();
    assert_eq!(broken.iter().map(Vec::len).sum::<usize>(), 5);
    assert!(broken.iter().zip(&together).all(|(part, whole)| whole.starts_with(part)));
    let long = GenerateOptions { max_new_tokens: 1 << 20, ..options.clone() };
    let error = generate(&decoder, &prompts, &long, &mut go_on).unwrap_err().to_string();
    let limit = format!("{} positions", decoder.config().max_positions);
    assert!(error.contains(&limit), "{error}");
    let error = generate(&decoder, &[&[]], &options, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("prompt 0 is empty"), "{error}");
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_p() {
    // exp of these is 4 : 3 : 2 : 1.
    let logits = [2.0f32, 4.0, 1.0, 3.0].map(f32::ln);
    let p = |top_p| {
        let options = GenerateOptions {
            temperature: 1.0,
            top_k: 0,
            top_p,
            repetition_penalty: 1.0,
            ..Default::default()
        };
        probabilities(&logits, &[], &options)
    };
    for (top_p, kept) in [(1.0, 4), (0.95, 4), (0.85, 3), (0.65, 2), (0.35, 1), (1e-9, 1)] {
        let shares = p(top_p);
        let order: [f32; 4] = [4.0, 3.0, 2.0, 1.0];
        let sum: f32 = order[..kept].iter().sum();
        for (rank, i) in [1, 3, 0, 2].into_iter().enumerate() {
            let expected = if rank < kept { order[rank] / sum } else { 0.0 };
            assert!((shares[i] - expected).abs() < 1e-6, "{top_p}: {shares:?}");
        }
    }
}

#[test]
fn the_recipes_decoder_has_its_parameters() {
    // Counted without making them: one block and the rest, at full width.
    let count = |layers| {
        let config =
            DecoderConfig { num_layers: layers, max_positions: 8, ..DecoderConfig::slam() };
        Decoder::random(&config, 0, &Device::flex()).unwrap().num_parameters()
    };
    let (none, one) = (count(0), count(1));
    assert_eq!(none + 24 * (one - none), 358_347_904);
}

#[test]
fn unit_words_have_the_ids_of_the_reference() {
    let units = vec![0, 3, 49];
    assert_eq!(tokenizer::unit_tokens(&units), [2, 5, 51]);
    assert_eq!(tokenizer::token_units(&[1, 2, 5, 51, 1, 0]), units);
    let json = tokenizer::tokenizer_json(50);
    assert_eq!(json["model"]["vocab"]["<Un49>"], 51);
}
