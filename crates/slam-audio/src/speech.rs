//! What every corpus holds: 16 kHz mono speech.

/// The sampling rate of every corpus, in Hz.
pub const RATE_HZ: u32 = 16_000;

/// Samples in [-1, 1] as 16-bit integers, rounded to nearest and clipped.
pub fn to_pcm16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}
