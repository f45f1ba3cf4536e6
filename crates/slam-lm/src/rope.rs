//! Tables of rotary embeddings (Su et al. 2021), in f32 as transformers computes them.

use crate::config::{DecoderConfig, RopeScaling};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::{Arc, Mutex, PoisonError};

/// Positions of the smallest table.
const FIRST: usize = 256;

/// Cosines and sines `[positions, rotary_dim / 2]`.
pub(crate) type Rope = (Tensor<2>, Tensor<2>);

/// The frequencies, and a table as long as it was needed so far: a configuration may claim a
/// million positions of which a run reads a thousand.
#[derive(Clone, Debug)]
pub(crate) struct RopeTable {
    frequencies: Arc<[f32]>,
    /// Factor on cosines and sines.
    attention: f32,
    device: Device,
    made: Arc<Mutex<Option<(usize, Rope)>>>,
}

impl RopeTable {
    /// `None` where nothing rotates.
    pub(crate) fn new(config: &DecoderConfig, device: &Device) -> Option<Self> {
        (config.rotary_dim > 0).then(|| Self {
            frequencies: frequencies(config).into(),
            attention: match config.rope_scaling {
                RopeScaling::Yarn { attention, .. } => attention as f32,
                _ => 1.0,
            },
            device: device.clone(),
            made: Arc::default(),
        })
    }

    /// The same on another device.
    pub(crate) fn to_device(&self, device: &Device) -> Self {
        Self { device: device.clone(), made: Arc::default(), ..self.clone() }
    }

    /// A table of at least so many positions.
    pub(crate) fn positions(&self, positions: usize) -> Rope {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((have, rope)) if *have >= positions => rope.clone(),
            _ => {
                let positions = positions.next_power_of_two().max(FIRST);
                let rope = self.table(positions);
                *made = Some((positions, rope.clone()));
                rope
            }
        }
    }

    fn table(&self, positions: usize) -> Rope {
        let shape = [positions, self.frequencies.len()];
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in 0..positions {
            for frequency in &*self.frequencies {
                let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                cos.push(c as f32 * self.attention);
                sin.push(s as f32 * self.attention);
            }
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), &self.device);
        (tensor(cos), tensor(sin))
    }
}

/// Radians a position of each pair of dimensions.
fn frequencies(config: &DecoderConfig) -> Vec<f32> {
    let pairs = config.rotary_dim / 2;
    let ramp = YarnRamp::of(config);
    (0..pairs)
        .map(|pair| {
            let exponent = (2 * pair) as f32 / config.rotary_dim as f32;
            let frequency = 1.0 / config.rope_theta.powf(f64::from(exponent));
            let scaled = match config.rope_scaling {
                RopeScaling::None | RopeScaling::Dynamic { .. } => frequency,
                RopeScaling::Linear { factor } => frequency / factor,
                RopeScaling::Llama3 { factor, low, high, original } => {
                    llama3(frequency, factor, [low, high], original)
                }
                RopeScaling::Yarn { factor, .. } => {
                    let divided = ramp.at(pair);
                    frequency * (divided / factor + 1.0 - divided)
                }
            };
            scaled as f32
        })
        .collect()
}

fn llama3(frequency: f64, factor: f64, [low, high]: [f64; 2], original: f64) -> f64 {
    let wavelength = std::f64::consts::TAU / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// Between which pairs `YaRN` goes over from frequencies kept to frequencies divided.
#[derive(Clone, Copy, Debug, Default)]
struct YarnRamp {
    first: f64,
    last: f64,
}

impl YarnRamp {
    fn of(config: &DecoderConfig) -> Self {
        let RopeScaling::Yarn { original, beta_fast, beta_slow, truncate, .. } =
            config.rope_scaling
        else {
            return Self::default();
        };
        let dim = config.rotary_dim as f64;
        // The pair that turns so often within the original positions.
        let pair = |turns: f64| {
            dim * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * config.rope_theta.ln())
        };
        let (first, last) = (pair(beta_fast), pair(beta_slow));
        let (first, last) = if truncate { (first.floor(), last.ceil()) } else { (first, last) };
        let (first, mut last) = (first.max(0.0), last.min(dim - 1.0));
        if first == last {
            last += 1e-3;
        }
        Self { first, last }
    }

    /// 0 where a pair is kept, 1 where it is divided.
    fn at(self, pair: usize) -> f64 {
        ((pair as f64 - self.first) / (self.last - self.first)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    /// A Llama with heads of 16 dimensions and this `rope_scaling`.
    fn config(scaling: serde_json::Value) -> DecoderConfig {
        DecoderConfig::from_json(&json!({
            "model_type": "llama", "vocab_size": 42, "hidden_size": 64, "intermediate_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 128,
            "rope_theta": 1e4, "rope_scaling": scaling,
        }))
        .unwrap()
    }

    #[test]
    fn scaled_frequencies_are_those_of_transformers() {
        // The second and third pair and the factor on cosines, printed by transformers 4.57 for each of these.
        let plain = [0.316_227_76, 0.1];
        for (scaling, [second, third], attention) in [
            (json!(null), plain, 1.0),
            (json!({"type": "dynamic", "factor": 2.0}), plain, 1.0),
            (json!({"rope_type": "linear", "factor": 2.0}), [0.158_113_88, 0.05], 1.0),
            (
                json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                       "high_freq_factor": 4.0, "original_max_position_embeddings": 64}),
                [0.244_384_59, 0.013_042_256],
                1.0,
            ),
            (
                json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}),
                [0.197_642_36, 0.025],
                1.138_629_4,
            ),
            (json!({"rope_type": "yarn", "factor": 4.0}), [0.237_170_82, 0.05], 1.138_629_4),
            (
                json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                       "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.25}),
                [0.079_056_94, 0.025],
                1.25,
            ),
            (
                json!({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32,
                       "mscale": 1.0, "mscale_all_dim": 0.8}),
                [0.177_878_11, 0.0125],
                1.035_657,
            ),
            (
                json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                       "truncate": false}),
                [0.148_490_25, 0.025],
                1.138_629_4,
            ),
        ] {
            let config = config(scaling.clone());
            assert_eq!(DecoderConfig::from_json(&config.to_json()).unwrap(), config);
            let table = RopeTable::new(&config, &Device::flex()).unwrap();
            let found = [table.frequencies[1], table.frequencies[2], table.attention];
            for (found, expected) in found.into_iter().zip([second, third, attention]) {
                assert!((found / expected - 1.0f32).abs() < 2e-6, "{scaling}: {found} {expected}");
            }
            let first = table.positions(1).0.into_data().iter::<f32>().next();
            assert_eq!(first, Some(table.attention));
        }
    }

    #[test]
    fn unknown_scaling_is_refused_by_name() {
        let mut json = config(json!(null)).to_json();
        json["rope_scaling"] = json!({"rope_type": "longrope", "factor": 4.0});
        let error = DecoderConfig::from_json(&json).unwrap_err().to_string();
        assert!(error.contains("`longrope`") && error.contains("yarn"), "{error}");
        json["rope_scaling"] = json!({"rope_type": "yarn"});
        let error = DecoderConfig::from_json(&json).unwrap_err().to_string();
        assert!(error.contains("`factor`"), "{error}");
    }
}
