//! Which samples of a track are its sound: encoders put others before and behind.

use std::ops::Range;

/// Ranges of samples that stay, in order and without overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept(Vec<Range<u64>>);

impl Kept {
    /// All samples from one on.
    pub(crate) fn from(first: u64) -> Self {
        Self(std::iter::once(first..u64::MAX).collect())
    }

    /// These ranges; `None` if they are empty, repeat samples or go back.
    pub(crate) fn ranges(ranges: Vec<Range<u64>>) -> Option<Self> {
        let forward = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let full = ranges.iter().all(|range| range.start < range.end);
        (forward && full && !ranges.is_empty()).then_some(Self(ranges))
    }

    /// Drops what does not stay of interleaved samples, the first of which is the track's `first`.
    pub(crate) fn apply(&self, first: u64, channels: usize, interleaved: &mut Vec<f32>) {
        let frames = (interleaved.len() / channels.max(1)) as u64;
        let end = first.saturating_add(frames);
        let mut kept = 0;
        for range in &self.0 {
            let (start, stop) = (range.start.max(first), range.end.min(end));
            if start < stop {
                let from = (start - first) as usize * channels..(stop - first) as usize * channels;
                let length = from.len();
                if from.start > kept {
                    interleaved.copy_within(from, kept);
                }
                kept += length;
            }
        }
        interleaved.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_outside_the_ranges_are_dropped_wherever_packets_begin() {
        let kept = Kept(vec![2..5, 8..u64::MAX]);
        let all: Vec<f32> = (0..24).map(|i| (i / 2) as f32).collect();
        let expected: Vec<f32> =
            all.iter().copied().filter(|x| [2.0, 3.0, 4.0].contains(x) || *x >= 8.0).collect();
        for packet in [1, 3, 5, 12] {
            let mut out = Vec::new();
            for (i, samples) in all.chunks(2 * packet).enumerate() {
                let mut samples = samples.to_vec();
                kept.apply((i * packet) as u64, 2, &mut samples);
                out.extend(samples);
            }
            assert_eq!(out, expected, "packets of {packet}");
        }
    }

    #[test]
    fn ranges_that_go_back_or_hold_nothing_are_none() {
        assert_eq!(Kept::ranges(vec![0..4, 2..6]), None);
        assert_eq!(Kept::ranges(vec![Range { start: 4, end: 4 }]), None);
        assert_eq!(Kept::ranges(Vec::new()), None);
        assert!(Kept::ranges(vec![0..4, 4..6]).is_some());
    }
}
