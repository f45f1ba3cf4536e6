#![allow(clippy::unwrap_used)]
use super::*;

use burn::tensor::DType;
use serde_json::json;
use slam_dataset::rng::Rng;
use slam_dataset::schema::TokeniserInfo;
use slam_lm::batch::next_tokens;
use slam_lm::{DecoderConfig, TokenBatch};
use slam_recipe::Key;

use crate::error::TrainError;
use crate::objective::Steps;

/// Half the distance of two neighbouring bf16 numbers, as a share of their value: 8 bits of significand.
const BF16: f64 = 1.0 / 256.0;

/// How far a step in parts may be from the step at once in bf16, as a share of the gradient's norm. At once,
/// each element of a gradient is rounded once behind its sum over the tokens; in parts, once a part: together at
/// most `BF16 * (‖g‖ + Σ‖gᵢ‖)`, where the parts' norms add up to between one and two times the whole's. The
/// embedding's gradient is a sum of bf16 numbers, which brings the fourth.
const BF16_TOLERANCE: f64 = 4.0 * BF16;
/// The same in f32, whose rounding is 2⁻²⁴: sums of some hundred products in another order.
const F32_TOLERANCE: f64 = 2e-6;

/// The negative log-likelihood of rows of tokens.
struct Likelihood {
    tokeniser: TokeniserInfo,
}

impl Objective for Likelihood {
    type Micro = Vec<Vec<u32>>;

    fn tokeniser(&self) -> &TokeniserInfo {
        &self.tokeniser
    }

    fn epoch_tokens(&self) -> u64 {
        0
    }

    fn steps(&self) -> Steps<'_, Self::Micro> {
        Box::new(|_| Vec::new())
    }

    fn tokens(&self, rows: &Self::Micro) -> u64 {
        rows.iter().map(|row| row.len() as u64).sum()
    }

    fn ids(&self, _: &Self::Micro) -> Vec<String> {
        Vec::new()
    }

    fn loss(&self, model: &Decoder, rows: &Self::Micro, device: &Device) -> Loss {
        let rows: Vec<Vec<&[u32]>> = rows.iter().map(|row| vec![row.as_slice()]).collect();
        let nll = model.token_nll(&TokenBatch::packed(&rows, device), next_tokens(&rows, device));
        let figures = BTreeMap::from([("rows".to_owned(), rows.len() as f64)]);
        Loss { sum: nll.sum(), figures: Box::new(|| figures) }
    }

    fn weight(&self, rows: &Self::Micro) -> f64 {
        self.tokens(rows) as f64 - rows.len() as f64
    }

    fn validate(&self, _: &Decoder) -> Result<BTreeMap<String, f64>, TrainError> {
        Ok(BTreeMap::new())
    }
}

const VOCABULARY: usize = 34;

/// Rows that repeat some tokens more than others, as units do.
fn rows() -> Vec<Vec<u32>> {
    let mut rng = Rng::new(7);
    let mut token = || (rng.below(VOCABULARY).min(rng.below(VOCABULARY))) as u32;
    (0..8).map(|row| (0..40 + row).map(|_| token()).collect()).collect()
}

fn config(precision: &str, activations: &str) -> OptimiserConfig {
    serde_json::from_value(json!({"precision": precision, "activations": activations})).unwrap()
}

/// The gradients of a step whose rows are computed `at_once` at a time.
fn gradients(
    rows: &[Vec<u32>],
    at_once: usize,
    config: &OptimiserConfig,
    others: &[Device],
) -> (Vec<Vec<f32>>, Done) {
    let device = Device::flex();
    let shape = DecoderConfig::qwen2(VOCABULARY, 32, 64, 2, 4, 2, 64);
    let mut model =
        Decoder::random(&shape, 1, &device).unwrap().to_device(&config.autodiff(&device));
    model.for_each_param_mut(&mut |_, p| p.make_leaf());
    let tokeniser = TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "t".into(),
        layer: None,
        k: 32,
        units_per_second: 25.0,
    };
    let parts: Vec<_> = rows.chunks(at_once).map(<[_]>::to_vec).collect();
    let devices = Devices { first: &device, others };
    let (sums, done) = of_step(&Likelihood { tokeniser }, &model, config, &devices, &parts);
    (sums.to_f32(), done)
}

/// `‖b − a‖ / ‖a‖` over all parameters.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let (mut off, mut norm) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        assert!(!a.is_empty() && a.len() == b.len());
        off += a.iter().zip(b).map(|(a, b)| square(f64::from(*b) - f64::from(*a))).sum::<f64>();
        norm += a.iter().map(|a| square(f64::from(*a))).sum::<f64>();
    }
    (off / norm).sqrt()
}

#[test]
fn parts_of_a_step_add_up_to_the_step_at_once_in_both_widths() {
    let rows = rows();
    for (precision, tolerance) in [("f32", F32_TOLERANCE), ("bf16", BF16_TOLERANCE)] {
        let config = config(precision, "keep");
        let (whole, at_once) = gradients(&rows, 8, &config, &[]);
        for part in [1, 3] {
            let (sums, done) = gradients(&rows, part, &config, &[]);
            let off = distance(&whole, &sums);
            assert!(off <= tolerance, "{precision}, {part} rows at once: off by {off:e}");
            let loss = (done.loss - at_once.loss).abs() / at_once.loss;
            assert!(loss <= tolerance, "{precision}, {part} rows at once: loss off by {loss:e}");
            assert_eq!((done.tokens, &done.figures), (at_once.tokens, &at_once.figures));
        }
        // A part that is left out is far off.
        let (fewer, _) = gradients(&rows[1..], 1, &config, &[]);
        assert!(distance(&whole, &fewer) > 8.0 * BF16_TOLERANCE);
    }
    let (f32, bf16) = (config("f32", "keep"), config("bf16", "keep"));
    assert_ne!(gradients(&rows, 8, &f32, &[]).0, gradients(&rows, 8, &bf16, &[]).0);
}

#[test]
fn sums_of_bf16_gradients_are_kept_in_f32() {
    let row = &rows()[..1];
    let bf16 = config("bf16", "keep");
    let (one, _) = gradients(row, 1, &bf16, &[]);
    let many: Vec<_> = row.iter().cycle().take(96).cloned().collect();
    let (sums, _) = gradients(&many, 1, &bf16, &[]);
    let wanted: Vec<Vec<f32>> = one.iter().map(|g| g.iter().map(|x| 96.0 * x).collect()).collect();
    // Sums in bf16 would stand still from a few dozen equal parts on.
    let off = distance(&wanted, &sums);
    assert!(off <= 1e-6, "off by {off:e}");
}

#[test]
fn recomputed_activations_and_more_devices_give_the_same_sums_in_bf16() {
    let rows = rows();
    let (keep, recompute) = (config("bf16", "keep"), config("bf16", "recompute"));
    let kept = gradients(&rows, 2, &keep, &[]);
    assert_eq!(kept, gradients(&rows, 2, &recompute, &[]));
    for others in [vec![Device::flex()], vec![Device::flex(); 2]] {
        for config in [&keep, &recompute] {
            let (sums, done) = gradients(&rows, 2, config, &others);
            let off = distance(&kept.0, &sums);
            assert!(off <= F32_TOLERANCE, "{} devices: off by {off:e}", 1 + others.len());
            assert_eq!(done.tokens, kept.1.tokens);
        }
    }
}

#[test]
fn a_step_computes_with_copies_in_bf16_and_leaves_the_weights_in_f32() {
    let device = Device::flex();
    let shape = DecoderConfig::qwen2(VOCABULARY, 32, 64, 2, 4, 2, 64);
    let plain = Decoder::random(&shape, 1, &device).unwrap();
    for activations in ["keep", "recompute"] {
        let config = config("bf16", activations);
        let mut model = plain.clone().to_device(&config.autodiff(&device));
        model.for_each_param_mut(&mut |_, p| p.make_leaf());
        let computing = computing(&model, &config);
        assert_eq!((model.dtype(), computing.dtype()), (DType::F32, DType::BF16));
        assert!(computing.device().is_autodiff());
    }
    // Without a backward pass there is no graph.
    let computing = computing(&plain, &config("bf16", "keep"));
    assert!(computing.dtype() == DType::BF16 && !computing.device().is_autodiff());
}
