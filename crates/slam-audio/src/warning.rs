//! What is wrong with a file although it can be read.

use std::fmt;

use crate::fault::{Fault, Part};

/// Something that is wrong with a file although it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The last sample lacks some of its bytes, or some of its channels.
    #[error("the file ends within a sample frame")]
    CutFrame,
    /// Fewer samples than the header says.
    #[error("the file ends before the length in its header")]
    CutOff,
    /// The rest of the file cannot be taken apart.
    #[error("the file ends early: {0}")]
    EndsEarly(Fault),
    /// A packet that cannot be decoded; its sound is left out.
    #[error("a damaged packet: {0}")]
    DamagedPacket(Fault),
    /// The library panicked; the rest is left out.
    #[error("{0} failed on this file; left out from there")]
    Crash(Part),
    /// Bytes between frames that are no frame.
    #[error("bytes between the frames that belong to none, left out")]
    Junk,
    /// More frames than the Xing header counts: it is wrong, or another stream follows it.
    #[error("more frames than its Xing header says; all were taken")]
    MoreFrames,
    /// NaN, infinities, and what no filter could take.
    #[error("samples that are no numbers, or absurdly large, taken as silence")]
    NotSound,
    /// Floating-point samples in the range of 16-bit integers.
    #[error("floating-point samples in the range of 16-bit integers, divided by 32768")]
    IntegerRange,
    /// Floating-point samples far beyond full scale, which will be clipped.
    #[error("samples far beyond full scale, which will be clipped")]
    FarTooLoud,
    /// A second recording in the file, or a second link, at another rate.
    #[error("the sampling rate changes to {rate_hz} Hz; left out from there")]
    RateChanges {
        /// The new rate in Hz.
        rate_hz: u32,
    },
    /// Another recording in the file that could not be opened.
    #[error("another recording follows in the file, and could not be read; left out from there")]
    AnotherRecording,
    /// More samples than the header counts: it is wrong, or another recording follows.
    #[error("more sound than its header says; another recording may follow in the file")]
    LongerThanHeader,
    /// Bytes behind the sound that are no chunk: the header's length may be wrong.
    #[error(
        "bytes behind the sound that are no chunk, left out; the length in its header may be wrong"
    )]
    BytesBehind,
    /// An edit list that repeats or reorders parts.
    #[error("an edit list that repeats or reorders parts, not followed")]
    EditList,
}

/// A warning, and how often it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What is wrong.
    pub warning: Warning,
    /// How often it was met.
    pub count: u64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.warning.fmt(f),
            n => write!(f, "{} ({n} times)", self.warning),
        }
    }
}

/// What was wrong with a file that could be read, each kind once with its count: memory is bounded however
/// broken the file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Counted>);

impl Warnings {
    /// Kinds that are told apart.
    const KINDS: usize = 8;

    pub(crate) fn add(&mut self, warning: Warning) {
        let full = self.0.len() >= Self::KINDS;
        let known = self.0.iter().position(|counted| counted.warning == warning);
        match known.or(full.then_some(Self::KINDS - 1)) {
            Some(i) => self.0[i].count += 1,
            None => self.0.push(Counted { warning, count: 1 }),
        }
    }

    /// Adds what is said once, however often it is met.
    pub(crate) fn add_once(&mut self, warning: Warning) {
        if !self.0.iter().any(|counted| counted.warning == warning) {
            self.add(warning);
        }
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many kinds of things were wrong.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How often anything was wrong.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|counted| counted.count).sum()
    }

    /// What was met first.
    pub fn first(&self) -> Option<&Counted> {
        self.0.first()
    }

    /// Each kind with its count, in the order met.
    pub fn iter(&self) -> std::slice::Iter<'_, Counted> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Warnings {
    type Item = &'a Counted;
    type IntoIter = std::slice::Iter<'a, Counted>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
