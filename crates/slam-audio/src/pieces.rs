//! A recording of any format and length as pieces of 16 kHz speech.

use std::collections::VecDeque;

use crate::cut::{Activity, Cutter, Piece};
use crate::decode::Decoder;
use crate::error::AudioError;
use crate::resample::Resampler;
use crate::warning::Warnings;

/// Decodes, resamples and cuts in one pass: the pieces of a recording, in order.
///
/// What is in memory is a piece and a few blocks, however long the recording is.
pub struct Pieces {
    decoder: Decoder,
    /// `None` after the end.
    stages: Option<(Resampler, Cutter)>,
    decoded: Vec<f32>,
    resampled: Vec<f32>,
    ready: VecDeque<Piece>,
    num_samples: u64,
}

impl Pieces {
    /// Pieces of at most `max_samples` at 16 kHz.
    ///
    /// # Errors
    /// If the recording's rate cannot be changed to 16 kHz.
    pub fn new(
        decoder: Decoder,
        max_samples: usize,
        activity: &Activity,
    ) -> Result<Self, AudioError> {
        let resampler = Resampler::new(decoder.rate_hz())?;
        Ok(Self {
            decoder,
            stages: Some((resampler, Cutter::new(max_samples, activity))),
            decoded: Vec::new(),
            resampled: Vec::new(),
            ready: VecDeque::new(),
            num_samples: 0,
        })
    }

    /// What was wrong with the recording so far.
    pub fn warnings(&self) -> &Warnings {
        self.decoder.warnings()
    }

    /// The recording's rate in Hz before it was changed.
    pub fn source_rate_hz(&self) -> u32 {
        self.decoder.rate_hz()
    }

    /// Samples at 16 kHz so far: of the whole recording after its last piece.
    pub fn num_samples(&self) -> u64 {
        self.num_samples
    }

    fn fill(&mut self) -> Result<(), AudioError> {
        let mut out = Vec::new();
        while let Some((resampler, cutter)) = &mut self.stages
            && out.is_empty()
        {
            self.decoded.clear();
            self.resampled.clear();
            let more = self.decoder.read(&mut self.decoded)?;
            resampler.push(&self.decoded, &mut self.resampled)?;
            if more {
                cutter.push(&self.resampled, &mut out);
                self.num_samples += self.resampled.len() as u64;
            } else if let Some((resampler, mut cutter)) = self.stages.take() {
                resampler.finish(&mut self.resampled)?;
                self.num_samples += self.resampled.len() as u64;
                cutter.push(&self.resampled, &mut out);
                cutter.finish(&mut out);
            }
        }
        self.ready.extend(out);
        Ok(())
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece, AudioError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && let Err(e) = self.fill()
        {
            self.stages = None;
            return Some(Err(e));
        }
        self.ready.pop_front().map(Ok)
    }
}
