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
    device: Device,
    made: Arc<Mutex<Option<(usize, Rope)>>>,
}

impl RopeTable {
    /// `None` where nothing rotates.
    pub(crate) fn new(config: &DecoderConfig, device: &Device) -> Option<Self> {
        let half = config.rotary_dim / 2;
        let frequency = |i: usize| {
            let exponent = (2 * i) as f32 / config.rotary_dim as f32;
            let f = 1.0 / config.rope_theta.powf(f64::from(exponent));
            scaled(f, config.rope_scaling) as f32
        };
        (half > 0).then(|| Self {
            frequencies: (0..half).map(frequency).collect(),
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
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), &self.device);
        (tensor(cos), tensor(sin))
    }
}

fn scaled(frequency: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original } => {
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
    }
}
