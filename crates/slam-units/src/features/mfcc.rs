//! Mel-frequency cepstral coefficients with deltas, several fine frames pooled into one unit frame.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
pub use slam_recipe::tokeniser::MfccConfig;
use slam_recipe::tokeniser::MfccError;

use super::extractor::FeatureExtractor;

const RATE_HZ: f32 = 16_000.0;
/// Samples between fine frames: 10 ms.
const FINE_HOP: usize = MfccConfig::FINE_HOP;
/// Samples of a fine frame's window: 25 ms.
const WINDOW: usize = 400;
const FFT: usize = 512;
/// Fine frames on each side that a delta is fitted over (Young et al., The HTK Book, 5.9).
const DELTA_REACH: usize = 2;

/// MFCC over 25 ms Hann windows every 10 ms (pre-emphasis 0.97, FFT 512, natural logarithm of the mel
/// energies, orthonormal DCT-II), pooled to one frame every `hop` samples.
pub struct Mfcc {
    config: MfccConfig,
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// For each filter its first FFT bin and its weights.
    filters: Vec<(usize, Vec<f32>)>,
    /// `[coefficients, filters]`.
    dct: Vec<f32>,
}

impl Mfcc {
    /// Makes the tables.
    ///
    /// # Errors
    /// If a parameter is out of its range.
    pub fn new(config: MfccConfig) -> Result<Self, MfccError> {
        config.check()?;
        let MfccConfig { filters, coefficients, .. } = config;
        let window =
            (0..WINDOW).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f32 / WINDOW as f32).cos()).collect();
        let (m, n) = (filters, coefficients);
        let dct = (0..n * m)
            .map(|i| {
                let (k, j) = (i / m, i % m);
                let scale = if k == 0 { (1.0 / m as f32).sqrt() } else { (2.0 / m as f32).sqrt() };
                scale * (PI * k as f32 * (j as f32 + 0.5) / m as f32).cos()
            })
            .collect();
        let fft = RealFftPlanner::new().plan_fft_forward(FFT);
        Ok(Self { filters: mel_filters(m), config, fft, window, dct })
    }

    /// Coefficients of every fine frame, `[frames, coefficients]`. Fine frame i is centred on the middle
    /// of its 10 ms; beyond the utterance there is silence.
    fn cepstra(&self, samples: &[f32], count: usize) -> Vec<f32> {
        let (m, n) = (self.config.filters, self.config.coefficients);
        let mut out = Vec::with_capacity(count * n);
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut energies = vec![0.0; m];
        for i in 0..count {
            let start = (i * FINE_HOP + FINE_HOP / 2) as isize - (WINDOW / 2) as isize;
            let at = |j: isize| {
                usize::try_from(j).ok().and_then(|j| samples.get(j)).copied().unwrap_or(0.0)
            };
            input.fill(0.0);
            for (j, (x, w)) in input.iter_mut().zip(&self.window).enumerate() {
                let j = start + j as isize;
                *x = w * (at(j) - 0.97 * at(j - 1));
            }
            if self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err() {
                // The buffers are the plan's own, so their lengths always fit.
                spectrum.fill(Complex::default());
            }
            for (energy, (first, weights)) in energies.iter_mut().zip(&self.filters) {
                let power: f32 =
                    spectrum[*first..].iter().zip(weights).map(|(c, w)| w * c.norm_sqr()).sum();
                // The floor is about the noise of 16-bit samples.
                *energy = (power + 1e-6).ln();
            }
            out.extend(
                self.dct
                    .chunks_exact(m)
                    .map(|row| row.iter().zip(&energies).map(|(a, b)| a * b).sum::<f32>()),
            );
        }
        out
    }
}

impl FeatureExtractor for Mfcc {
    fn hop(&self) -> usize {
        self.config.hop
    }

    fn dim(&self) -> usize {
        self.config.coefficients * (1 + self.config.deltas) * self.config.slices
    }

    fn layer(&self) -> Option<u32> {
        None
    }

    fn for_each_part(&self, samples: &[f32], each: &mut dyn FnMut(&[f32])) {
        let Self { config, .. } = self;
        let fine = config.hop / FINE_HOP;
        let count = samples.len() / config.hop;
        let n = config.coefficients;
        let mut orders = vec![self.cepstra(samples, count * fine)];
        for _ in 0..config.deltas {
            let next = orders.last().map(|o| deltas(o, n)).unwrap_or_default();
            orders.push(next);
        }
        let slice = fine / config.slices;
        let mut values = Vec::with_capacity(count * self.dim());
        for first in (0..count * fine).step_by(slice) {
            for order in &orders {
                for k in 0..n {
                    let sum: f32 = (first..first + slice).map(|i| order[i * n + k]).sum();
                    values.push(sum / slice as f32);
                }
            }
        }
        each(&values);
    }
}

/// The slope of each coefficient by linear regression over neighbouring frames; edges repeat.
fn deltas(values: &[f32], n: usize) -> Vec<f32> {
    let count = values.len() / n;
    let norm = 2.0 * (1..=DELTA_REACH).map(|d| (d * d) as f32).sum::<f32>();
    let mut out = Vec::with_capacity(values.len());
    for i in 0..count {
        for k in 0..n {
            let at = |j: usize| values[j.min(count - 1) * n + k];
            let slope: f32 =
                (1..=DELTA_REACH).map(|d| d as f32 * (at(i + d) - at(i.saturating_sub(d)))).sum();
            out.push(slope / norm);
        }
    }
    out
}

/// Triangular filters, evenly spaced in mel (O'Shaughnessy 1987: 2595·log10(1 + f/700)).
fn mel_filters(count: usize) -> Vec<(usize, Vec<f32>)> {
    let mel = |hz: f32| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f32| 700.0 * (10f32.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(20.0), mel(7_600.0));
    let edge =
        |i: usize| hz(low + (high - low) * i as f32 / (count + 1) as f32) * FFT as f32 / RATE_HZ;
    (0..count)
        .map(|i| {
            let (a, b, c) = (edge(i), edge(i + 1), edge(i + 2));
            let first = a.ceil() as usize;
            let weights: Vec<f32> = (first..=(c.floor() as usize).min(FFT / 2))
                .map(|bin| {
                    let x = bin as f32;
                    ((x - a) / (b - a)).min((c - x) / (c - b)).max(0.0)
                })
                .collect();
            // A filter narrower than a bin would hear nothing; it takes the bin nearest its peak.
            if weights.iter().all(|&w| w == 0.0) {
                (b.round() as usize, vec![1.0])
            } else {
                (first, weights)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tone(hz: f32, n: usize) -> Vec<f32> {
        (0..n).map(|i| 0.3 * (2.0 * PI * hz * i as f32 / RATE_HZ).sin()).collect()
    }

    #[test]
    fn there_is_a_frame_every_hop_and_it_does_not_depend_on_what_is_far_away() {
        let mfcc = Mfcc::new(MfccConfig { slices: 2, ..Default::default() }).unwrap();
        assert_eq!(mfcc.dim(), 78);
        for n in [0, 639, 640, 16_000, 47_123] {
            assert_eq!(mfcc.frames(&tone(300.0, n)).len(), n / 640);
        }
        let mut long = tone(300.0, 16_000);
        let a = mfcc.frames(&long);
        long[12_000..].fill(0.5);
        let b = mfcc.frames(&long);
        assert_eq!(a.values[..10 * 78], b.values[..10 * 78]);
        assert_ne!(a.values, b.values);
    }

    #[test]
    fn a_tone_lands_in_the_filter_of_its_pitch() {
        let config = MfccConfig { coefficients: 40, deltas: 0, ..Default::default() };
        let mfcc = Mfcc::new(config).unwrap();
        let frames = mfcc.frames(&tone(1_000.0, 16_000));
        // The inverse of the orthonormal DCT gives the log mel energies back.
        let row = frames.rows().nth(10).unwrap();
        let energy = |j: usize| -> f32 { (0..40).map(|k| row[k] * mfcc.dct[k * 40 + j]).sum() };
        let loudest = (0..40).max_by(|&a, &b| energy(a).total_cmp(&energy(b))).unwrap();
        // 1000 mel on a scale from 31.7 to 2790 in 41 steps.
        assert_eq!(loudest, 13);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for (config, field) in [
            (MfccConfig { hop: 100, ..Default::default() }, "hop"),
            (MfccConfig { coefficients: 0, ..Default::default() }, "coefficients"),
            (MfccConfig { slices: 3, ..Default::default() }, "slices"),
            (MfccConfig { filters: 1000, ..Default::default() }, "filters"),
            (MfccConfig { deltas: 3, ..Default::default() }, "deltas"),
        ] {
            assert!(Mfcc::new(config).err().unwrap().to_string().contains(field));
        }
    }
}
