#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::Optimised;

use serde_json::json;
use slam_dataset::rng::Rng;
use slam_lm::DecoderConfig;
use slam_nn::params::Parameters;

use crate::gradients::{self, Devices, Done};
use pairs::Side;

const VOCABULARY: usize = 34;

fn some_pairs() -> Vec<Pair> {
    let mut rng = Rng::new(5);
    let mut tokens = |n: usize| -> Vec<u32> {
        (0..n).map(|_| rng.below(VOCABULARY).min(rng.below(VOCABULARY)) as u32).collect()
    };
    (0..8)
        .map(|i| {
            let prompt = tokens(6 + i);
            let mut side =
                |n| Side { first: prompt.len(), tokens: [prompt.clone(), tokens(n)].concat() };
            Pair { id: format!("p{i}"), sides: [side(9), side(12 - i)] }
        })
        .collect()
}

/// The gradients of a step over all pairs, `at_once` at a time.
fn step(precision: &str, at_once: usize) -> (Vec<Vec<f32>>, Done) {
    let optimiser = json!({"precision": precision});
    let config = json!({"budget": {"steps": 1}, "pairs": 8, "optimiser": optimiser});
    let config: DpoConfig = serde_json::from_value(config).unwrap();
    let device = Device::flex();
    let shape = DecoderConfig::qwen2(VOCABULARY, 32, 64, 2, 4, 2, 64);
    let plain = Decoder::random(&shape, 1, &device).unwrap();
    let tape = config.optimiser.autodiff(&device);
    let mut model = plain.clone().to_device(&tape);
    model.for_each_param_mut(&mut |_, p| p.make_leaf());
    let pairs = some_pairs();
    let all: Vec<&Pair> = pairs.iter().collect();
    // A reference beside the policy, so that no pair weighs as another.
    let [chosen, rejected] = rows::log_probs(&plain, &all, &device)
        .map(|t| t.into_data().iter::<f64>().collect::<Vec<_>>());
    let reference = (0..8).map(|i| [chosen[i] + i as f64, rejected[i] - 1.0]).collect();
    let tokeniser = TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "t".into(),
        layer: None,
        k: 32,
        units_per_second: 25.0,
    };
    let objective = Preference {
        config: &config,
        micro_pairs: at_once,
        pairs: &pairs,
        reference,
        train: (0..8).collect(),
        validation: Vec::new(),
        tokeniser: &tokeniser,
    };
    let parts = objective.steps()(0);
    assert_eq!(parts.len(), 8_usize.div_ceil(at_once));
    let devices = Devices { first: &device, others: &[] };
    let (sums, done) = gradients::of_step(&objective, &model, &config.optimiser, &devices, &parts);
    (sums.to_f32(), done)
}

#[test]
fn parts_of_a_step_add_up_to_the_step_at_once_in_both_widths() {
    // A rounding to bf16 is 2⁻⁸ of a value. At once each element of a gradient is rounded once, in parts once a
    // part; the parts' norms add up to about twice the whole's, because pairs pull at different tokens.
    for (precision, tolerance) in [("f32", 5e-6), ("bf16", 4.0 / 256.0)] {
        let (whole, at_once) = step(precision, 8);
        for part in [1, 3] {
            let (sums, done) = step(precision, part);
            let (mut off, mut norm) = (0.0, 0.0);
            for (a, b) in whole.iter().flatten().zip(sums.iter().flatten()) {
                off += f64::from(a - b).powi(2);
                norm += f64::from(*a).powi(2);
            }
            let off = (off / norm).sqrt();
            assert!(off <= tolerance, "{precision}, {part} pairs at once: off by {off:e}");
            let loss = (done.loss - at_once.loss).abs() / at_once.loss;
            assert!(loss <= tolerance, "{precision}, {part} pairs at once: loss off by {loss:e}");
            assert_eq!(
                (done.tokens, done.figures["accuracy"]),
                (at_once.tokens, at_once.figures["accuracy"])
            );
        }
    }
}
