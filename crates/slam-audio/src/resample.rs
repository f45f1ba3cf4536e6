//! Resampling between fixed rates.

use std::cell::RefCell;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::speech::RATE_HZ;

/// About as many input frames go into one transform; the transition band narrows as it grows (70 Hz at
/// 44.1 kHz), the time hardly.
const CHUNK: usize = 4096;
/// Filters that a thread keeps for its next recordings: making one takes as long as using it on 2 s of sound.
const KEPT: usize = 4;
/// 92 dB in the stop band; narrower windows than the fourth power's leave less of the band below 8 kHz.
const WINDOW: WindowFunction = WindowFunction::BlackmanHarris2;

/// Audio whose rate cannot be changed to 16 kHz.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// A rate outside 1 kHz to 1 MHz.
    #[error(
        "failed to resample from {from_hz} Hz to {RATE_HZ} Hz: no recording has this rate; is the header broken?"
    )]
    Rate {
        /// The rate in Hz.
        from_hz: u32,
    },
    /// What the filter itself reports.
    #[error("failed to resample from {from_hz} Hz to {RATE_HZ} Hz")]
    Filter {
        /// The rate in Hz.
        from_hz: u32,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ResampleError {
    fn filter<E: std::error::Error + Send + Sync + 'static>(from_hz: u32) -> impl Fn(E) -> Self {
        move |source| Self::Filter { from_hz, source: Box::new(source) }
    }
}

/// Changes the rate of a mono stream to 16 kHz, block by block, with an FFT filter (rubato's `Fft`).
///
/// `n` samples in all become `round(n · 16000 / from_hz)`, without delay. The result does not depend on how
/// the stream is cut into blocks, and memory is that of one transform.
pub struct Resampler {
    /// `None` at 16 kHz, where samples pass.
    fft: Option<Fft<f32>>,
    from_hz: u32,
    /// Input of less than one transform.
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Output samples of the filter's delay that are still to be dropped.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A resampler from a rate in Hz.
    ///
    /// # Errors
    /// If the rate is outside 1 kHz to 1 MHz, which no recording has.
    pub fn new(from_hz: u32) -> Result<Self, ResampleError> {
        if !(1_000..=1_000_000).contains(&from_hz) {
            return Err(ResampleError::Rate { from_hz });
        }
        let fft = if from_hz == RATE_HZ { None } else { Some(kept_or_new(from_hz)?) };
        let (delay, output) =
            fft.as_ref().map_or((0, 0), |fft| (fft.output_delay(), fft.output_frames_next()));
        Ok(Self {
            fft,
            from_hz,
            pending: Vec::new(),
            block: vec![0.0; output],
            delay,
            taken: 0,
            given: 0,
        })
    }

    /// Takes a block of samples and appends what is finished to `out`.
    ///
    /// # Errors
    /// None that a caller can cause; what the filter itself reports.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        self.taken += samples.len() as u64;
        let Some(fft) = &self.fft else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        let n = fft.input_frames_next();
        let mut rest = samples;
        if !self.pending.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(n - self.pending.len()));
            self.pending.extend_from_slice(head);
            rest = tail;
            if self.pending.len() < n {
                return Ok(());
            }
            let pending = std::mem::take(&mut self.pending);
            self.transform(&pending, out)?;
            self.pending = pending;
            self.pending.clear();
        }
        let whole = rest.chunks_exact(n);
        self.pending.extend_from_slice(whole.remainder());
        for block in whole {
            self.transform(block, out)?;
        }
        Ok(())
    }

    /// Ends the stream and appends the rest to `out`.
    ///
    /// # Errors
    /// As [`Resampler::push`].
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(fft) = &self.fft else { return Ok(()) };
        let n = fft.input_frames_next();
        let (to, from) = (u64::from(RATE_HZ), u64::from(self.from_hz));
        let length = ((u128::from(self.taken) * u128::from(2 * to) + u128::from(from))
            / u128::from(2 * from)) as u64;
        while self.given < length {
            let mut block = std::mem::take(&mut self.pending);
            block.resize(n, 0.0);
            self.transform(&block, out)?;
        }
        out.truncate(out.len() - (self.given - length) as usize);
        Ok(())
    }

    fn transform(&mut self, block: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let length = self.block.len();
        let input = SequentialSlice::new(block, 1, block.len())
            .map_err(ResampleError::filter(self.from_hz))?;
        let mut output = SequentialSlice::new_mut(&mut self.block, 1, length)
            .map_err(ResampleError::filter(self.from_hz))?;
        fft.process_into_buffer(&input, &mut output, None)
            .map_err(ResampleError::filter(self.from_hz))?;
        let skip = self.delay.min(length);
        self.delay -= skip;
        self.given += (length - skip) as u64;
        out.extend_from_slice(&self.block[skip..]);
        Ok(())
    }
}

thread_local! {
    static FILTERS: RefCell<Vec<(u32, Fft<f32>)>> = const { RefCell::new(Vec::new()) };
}

fn kept_or_new(from_hz: u32) -> Result<Fft<f32>, ResampleError> {
    let kept = FILTERS.with_borrow_mut(|filters| {
        let at = filters.iter().position(|(hz, _)| *hz == from_hz)?;
        Some(filters.remove(at).1)
    });
    kept.map_or_else(|| filter(from_hz), Ok)
}

impl Drop for Resampler {
    fn drop(&mut self) {
        let Some(mut fft) = self.fft.take() else { return };
        fft.reset();
        // Where the thread itself ends there is nothing to keep it in.
        let _ = FILTERS.try_with(|filters| {
            if let Ok(mut filters) = filters.try_borrow_mut() {
                filters.truncate(KEPT - 1);
                filters.insert(0, (self.from_hz, fft));
            }
        });
    }
}

fn filter(from_hz: u32) -> Result<Fft<f32>, ResampleError> {
    let step = from_hz / gcd(from_hz, RATE_HZ);
    // A power of two is fast to transform; and as it is even, half a transform is a whole number of samples
    // at both rates, so that the delay can be taken out exactly.
    let steps = CHUNK.div_ceil(step as usize).next_power_of_two().max(2);
    let size = steps * step as usize;
    let (from, to) = (from_hz as usize, RATE_HZ as usize);
    Fft::new_custom(from, to, size, 1, 1, WINDOW, FixedSync::Both)
        .map_err(ResampleError::filter(from_hz))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Mono samples at `from_hz` as samples at 16 kHz: [`Resampler`] on a whole signal.
///
/// # Errors
/// If the rate is outside 1 kHz to 1 MHz, which no recording has.
pub fn resample(samples: Vec<f32>, from_hz: u32) -> Result<Vec<f32>, ResampleError> {
    if from_hz == RATE_HZ {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(from_hz)?;
    let length = samples.len() as u64 * u64::from(RATE_HZ) / u64::from(from_hz);
    let mut out = Vec::with_capacity(length as usize + 2 * CHUNK);
    resampler.push(&samples, &mut out)?;
    resampler.finish(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_length_is_rounded_and_silence_stays_silent() {
        for (n, from_hz) in [
            (0, 48_000),
            (1, 44_100),
            (22_050, 22_050),
            (12_345, 48_000),
            (700, 8_000),
            (5, 11_025),
        ] {
            let out = resample(vec![0.0; n], from_hz).unwrap();
            assert_eq!(out.len(), (n as f64 * 16_000.0 / f64::from(from_hz)).round() as usize);
            assert!(out.iter().all(|&x| x == 0.0));
        }
        assert!(resample(vec![0.0; 10], 3).is_err());
        assert!(Resampler::new(0).is_err());
    }

    #[test]
    fn a_click_stays_where_it_was_at_every_rate() {
        // 37800 Hz has an odd step (189 samples), 16001 Hz shares no factor with 16 kHz.
        for from_hz in
            [8_000, 11_025, 16_001, 22_050, 24_000, 32_000, 37_800, 44_100, 48_000, 96_000]
        {
            let mut click = vec![0.0; from_hz as usize];
            click[from_hz as usize / 2] = 1.0;
            let out = resample(click, from_hz).unwrap();
            let sum: f64 = out.iter().map(|x| f64::from(x * x)).sum();
            let mean: f64 =
                out.iter().enumerate().map(|(i, x)| i as f64 * f64::from(x * x)).sum::<f64>() / sum;
            let expected = (from_hz / 2) as f64 * 16_000.0 / f64::from(from_hz);
            assert!((mean - expected).abs() < 0.01, "{from_hz} Hz: {mean}, not {expected}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn blocks_do_not_matter(
            n in 0usize..30_000,
            from_hz in prop::sample::select(vec![8_000u32, 11_025, 16_000, 44_100, 48_000]),
            blocks in prop::collection::vec(1usize..9_000, 1..8),
        ) {
            let signal: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let whole = resample(signal.clone(), from_hz).unwrap();
            let (mut resampler, mut out) = (Resampler::new(from_hz).unwrap(), Vec::new());
            let (mut rest, mut sizes) = (signal.as_slice(), blocks.iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                resampler.push(head, &mut out).unwrap();
                rest = tail;
            }
            resampler.finish(&mut out).unwrap();
            prop_assert_eq!(out, whole);
        }
    }
}
