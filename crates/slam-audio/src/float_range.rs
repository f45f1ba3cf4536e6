//! Whether floating-point samples are between -1 and 1, or in the range of integers.

use std::io::{Read, Seek, SeekFrom};

use crate::error::{AudioError, WavError};
use crate::mix::FAR_TOO_LOUD;
use crate::pcm::{Encoding, Format, Scale, convert};

/// Full scale of 16 bits.
const FULL_SCALE: f32 = 32_768.0;
/// One of so many samples that are not silence is far beyond full scale where samples are integers by their
/// range; a few may be broken bytes.
const LOUD_SHARE: u64 = 10;
/// One of so many loud samples may be broken bytes, and not tell of a wider range.
const BROKEN_SHARE: u64 = 1000;
/// Bytes read at a time: a multiple of every sample's.
const BLOCK: u64 = 1 << 16;

/// Reads all samples, and goes back to the first. A reader that cannot go back is not read.
pub(crate) fn scale<R: Read + Seek>(reader: &mut R, format: &Format) -> Result<Scale, AudioError> {
    if !matches!(format.encoding, Encoding::F32 | Encoding::F64) {
        return Ok(Scale::Usual);
    }
    let Ok(first) = reader.stream_position() else { return Ok(Scale::Usual) };
    let mut counts = Counts::default();
    let mut sound = reader.by_ref().take(format.bytes.unwrap_or(u64::MAX));
    let (mut bytes, mut samples) = (Vec::new(), Vec::new());
    loop {
        bytes.clear();
        samples.clear();
        if sound.by_ref().take(BLOCK).read_to_end(&mut bytes)? == 0 {
            break;
        }
        convert(format.encoding, &bytes, &mut samples);
        for &x in &samples {
            counts.add(x);
        }
    }
    reader.seek(SeekFrom::Start(first))?;
    counts.scale()
}

#[derive(Default)]
struct Counts {
    /// Neither silence nor no number.
    sounding: u64,
    /// Far beyond 1, within 16 bits.
    loud: u64,
    /// Beyond 16 bits.
    beyond: u64,
    peak: f32,
}

impl Counts {
    fn add(&mut self, x: f32) {
        let x = x.abs();
        if x == 0.0 || !x.is_finite() {
            return;
        }
        self.sounding += 1;
        self.loud += u64::from(x > FAR_TOO_LOUD && x <= FULL_SCALE);
        self.beyond += u64::from(x > FULL_SCALE);
        self.peak = self.peak.max(x);
    }

    fn scale(&self) -> Result<Scale, AudioError> {
        let loud = self.loud + self.beyond;
        if loud * LOUD_SHARE < self.sounding || loud == 0 {
            Ok(Scale::Usual)
        } else if self.beyond * BROKEN_SHARE > loud {
            Err(WavError::Scale { peak: f64::from(self.peak) }.into())
        } else {
            Ok(Scale::Integers)
        }
    }
}
