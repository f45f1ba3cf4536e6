//! Several channels as one.

use crate::warning::{Warning, Warnings};

/// Floating-point files may go beyond full scale, 1; beyond that, filters would overflow.
pub(crate) const LOUDEST: f32 = 65_536.0;
/// No microphone and no mixer goes as far beyond full scale (30 dB).
pub(crate) const FAR_TOO_LOUD: f32 = 32.0;

/// Appends interleaved samples as mono ones, the mean of their channels; what is no number becomes silence.
pub(crate) fn mix(
    interleaved: &[f32],
    channels: usize,
    warnings: &mut Warnings,
    out: &mut Vec<f32>,
) {
    let first = out.len();
    match channels {
        1 => out.extend_from_slice(interleaved),
        // In f64, so that the mean of 16-bit samples is the exact one, rounded once.
        2 => {
            let pairs = interleaved.as_chunks().0.iter();
            out.extend(pairs.map(|&[a, b]| f64::midpoint(f64::from(a), f64::from(b)) as f32));
        }
        n => {
            let mean = |frame: &[f32]| frame.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            out.extend(interleaved.chunks_exact(n.max(1)).map(|frame| mean(frame) as f32));
        }
    }
    let mixed = &mut out[first..];
    let is_usual = |x: &f32| x.abs() <= FAR_TOO_LOUD;
    if mixed.iter().all(is_usual) {
        return;
    }
    let is_sound = |x: &f32| x.abs() <= LOUDEST;
    if mixed.iter().any(|x| is_sound(x) && !is_usual(x)) {
        warnings.add(Warning::FarTooLoud);
    }
    if !mixed.iter().all(is_sound) {
        warnings.add(Warning::NotSound);
        mixed.iter_mut().filter(|x| !is_sound(x)).for_each(|x| *x = 0.0);
    }
}
