//! Resampling between fixed rates.

use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};

use crate::RATE_HZ;

/// Input frames a call of the resampler takes; the quality grows with it, the time hardly.
const CHUNK: usize = 4096;

/// Audio whose rate cannot be changed to 16 kHz.
#[derive(Debug, thiserror::Error)]
#[error("failed to resample from {from_hz} Hz to {RATE_HZ} Hz: {message}")]
pub struct ResampleError {
    from_hz: u32,
    message: String,
}

/// Mono samples at `from_hz` as samples at 16 kHz: `round(n · 16000 / from_hz)` of them, without delay.
///
/// The whole signal goes through an FFT filter (rubato `Fft`), so that the result does not depend on how
/// it was cut before.
///
/// # Errors
/// If the rate is outside 1 kHz to 1 MHz, which no recording has.
pub fn resample(samples: Vec<f32>, from_hz: u32) -> Result<Vec<f32>, ResampleError> {
    if from_hz == RATE_HZ || samples.is_empty() {
        return Ok(samples);
    }
    let fail = |message: String| ResampleError { from_hz, message };
    if !(1_000..=1_000_000).contains(&from_hz) {
        return Err(fail("no recording has this rate; is the header broken?".into()));
    }
    let n = samples.len();
    let length = ((n as u64 * u64::from(RATE_HZ) * 2 + u64::from(from_hz))
        / (2 * u64::from(from_hz))) as usize;
    let mut resampler = Fft::<f32>::new_custom(
        from_hz as usize,
        RATE_HZ as usize,
        CHUNK,
        1,
        1,
        WINDOW,
        FixedSync::Both,
    )
    .map_err(|e| fail(e.to_string()))?;
    let input = InterleavedOwned::new_from(samples, 1, n).map_err(|e| fail(e.to_string()))?;
    let output = resampler.process_all(&input, n, None).map_err(|e| fail(e.to_string()))?;
    let mut output = output.take_data();
    output.resize(length, 0.0);
    Ok(output)
}

const WINDOW: rubato::WindowFunction = rubato::WindowFunction::BlackmanHarris2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_length_is_rounded_and_silence_stays_silent() {
        for (n, from_hz) in
            [(1, 44_100), (22_050, 22_050), (12_345, 48_000), (700, 8_000), (5, 11_025)]
        {
            let out = resample(vec![0.0; n], from_hz).unwrap();
            assert_eq!(out.len(), (n as f64 * 16_000.0 / f64::from(from_hz)).round() as usize);
            assert!(out.iter().all(|&x| x == 0.0));
        }
        assert!(resample(vec![0.0; 10], 3).is_err());
    }
}
