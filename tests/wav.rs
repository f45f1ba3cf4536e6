//! WAV files that tests make.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};

/// A WAV file of 16 kHz, 16 bits, one channel.
///
/// # Panics
/// If the samples are more than a WAV file holds.
pub fn of(samples: impl IntoIterator<Item = i16>) -> Vec<u8> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut out = Cursor::new(Vec::new());
    let written = WavWriter::new(&mut out, spec).and_then(|mut writer| {
        samples.into_iter().try_for_each(|s| writer.write_sample(s))?;
        writer.finalize()
    });
    written.unwrap_or_else(|e| panic!("a WAV file in memory cannot be written: {e}"));
    out.into_inner()
}
