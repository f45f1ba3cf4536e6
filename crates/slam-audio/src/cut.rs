//! Cutting of long recordings by voice activity.

use std::ops::Range;

use earshot::{DefaultPredictor, Detector};

use crate::speech::RATE_HZ;

/// Samples of a frame of voice activity: 16 ms.
const FRAME: usize = 256;
/// What earshot gives speech more often than not.
const VOICED: f32 = 0.5;
/// A pause is at least this many frames (0.19 s): closures of stops are shorter.
const PAUSE: usize = 12;
/// What stays of a long pause before and after speech: 0.3 s, in samples.
const MARGIN: usize = 4800;

/// No recording is as long (two years): arithmetic on positions does not overflow.
const LONGEST: usize = 1 << 40;

/// A piece of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Its first sample's position in the recording, at 16 kHz.
    pub start: u64,
    /// Mono samples at 16 kHz.
    pub samples: Vec<f32>,
}

/// Where speech is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Activity {
    /// As earshot's voice activity detector hears it.
    #[default]
    Detect,
    /// Within these intervals: start and end in seconds, as in Libri-Light's `voice_activity` lists.
    Given(Vec<(f64, f64)>),
}

/// Cuts a stream of 16 kHz samples into pieces of at most so many.
///
/// A recording that is short enough is one piece, whole. A longer one is cut in pauses: in the longest
/// pause of the second half of what a piece may hold, else of its first half, else where it is quietest. Of a
/// pause in which it is cut, and before the first speech, what is farther than 0.3 s from speech is dropped;
/// apart from that, the pieces tile the recording. The result does not depend on how the stream comes in blocks.
pub struct Cutter {
    max_samples: usize,
    source: Source,
    /// What is not yet given out, and the position of its first sample.
    pending: Vec<f32>,
    start: u64,
    /// Voice and mean power of the whole frames of `pending`, as far as they were needed.
    frames: Vec<(bool, f32)>,
    /// Within the pause of the last cut: silence is dropped until speech begins.
    in_pause: bool,
}

enum Source {
    Detector(Box<Detector<DefaultPredictor>>),
    /// Sorted, in samples, without overlap.
    Intervals(Vec<Range<u64>>),
}

impl Cutter {
    /// A cutter for one recording. `max_samples` is taken as one second at least.
    pub fn new(max_samples: usize, activity: &Activity) -> Self {
        let source = match activity {
            Activity::Detect => Source::Detector(Detector::default_boxed()),
            Activity::Given(list) => Source::Intervals(intervals(list)),
        };
        Self {
            max_samples: max_samples.clamp(RATE_HZ as usize, LONGEST),
            source,
            pending: Vec::new(),
            start: 0,
            frames: Vec::new(),
            in_pause: false,
        }
    }

    /// Takes a block of samples; appends the pieces that are finished.
    pub fn push(&mut self, mut samples: &[f32], out: &mut Vec<Piece>) {
        // A cut sees one frame more than a piece may have, however the blocks come.
        let limit = (self.max_samples / FRAME + 1) * FRAME;
        while !samples.is_empty() {
            let (head, tail) = samples.split_at(samples.len().min(limit - self.pending.len()));
            self.pending.extend_from_slice(head);
            samples = tail;
            self.skip_pause();
            while self.pending.len() >= limit {
                self.cut(out);
                self.skip_pause();
            }
        }
    }

    /// Ends the recording; appends what is left.
    pub fn finish(mut self, out: &mut Vec<Piece>) {
        self.skip_pause();
        while self.pending.len() > self.max_samples {
            self.cut(out);
            self.skip_pause();
        }
        if self.in_pause {
            let tail = self.start + (self.frames.len() * FRAME) as u64;
            let end = self.start + self.pending.len() as u64;
            let speaks =
                matches!(&self.source, Source::Intervals(list) if touches(list, tail..end));
            if !speaks {
                // Nothing but silence up to the end; the piece before has its share of it.
                return;
            }
        }
        if !self.pending.is_empty() {
            out.push(Piece { start: self.start, samples: self.pending });
        }
    }

    /// Finds voice in all whole frames.
    fn listen(&mut self) {
        let done = self.frames.len();
        let first = self.start + (done * FRAME) as u64;
        let whole = self.pending.as_chunks::<FRAME>().0;
        for (i, frame) in whole[done..].iter().enumerate() {
            let voiced = match &mut self.source {
                Source::Detector(detector) => {
                    detector.predict_f32(&frame.map(|x| x.clamp(-1.0, 1.0))) >= VOICED
                }
                Source::Intervals(list) => {
                    let begin = first + (i * FRAME) as u64;
                    touches(list, begin..begin + FRAME as u64)
                }
            };
            let power = frame.iter().map(|x| x * x).sum::<f32>() / FRAME as f32;
            self.frames.push((voiced, power));
        }
    }

    /// Drops the first samples, a whole number of frames.
    fn drop_front(&mut self, samples: usize) {
        self.pending.drain(..samples);
        self.frames.drain(..samples / FRAME);
        self.start += samples as u64;
    }

    /// After a cut in a pause: drops its frames but for the margin before speech.
    fn skip_pause(&mut self) {
        if !self.in_pause {
            return;
        }
        self.listen();
        let speech = self.frames.iter().position(|f| f.0);
        let silent = speech.unwrap_or(self.frames.len()) * FRAME;
        self.drop_front(silent.saturating_sub(MARGIN) / FRAME * FRAME);
        self.in_pause = speech.is_none();
    }

    /// Gives out one piece of what is longer than a piece may be.
    fn cut(&mut self, out: &mut Vec<Piece>) {
        self.listen();
        if self.frames.first().is_some_and(|frame| !frame.0) {
            self.in_pause = true;
            self.skip_pause();
            if self.pending.len() <= self.max_samples {
                return;
            }
        }
        let whole = self.max_samples / FRAME;
        let half = whole / 2;
        let pauses = pauses(&self.frames);
        let middle = |p: &Range<usize>| usize::midpoint(p.start, p.end).min(whole);
        let longest = |range: Range<usize>| {
            let within = pauses.iter().filter(|&p| p.start > 0 && range.contains(&middle(p)));
            within.max_by_key(|p| (p.len(), p.start)).cloned()
        };
        let pause = longest(half..whole + 1).or_else(|| longest(0..half));
        let (end, next) = if let Some(pause) = &pause {
            let resume = (pause.end * FRAME).saturating_sub(MARGIN) / FRAME * FRAME;
            let keep = (pause.start * FRAME + MARGIN.next_multiple_of(FRAME)).min(whole * FRAME);
            if keep < resume {
                (keep, resume)
            } else {
                (middle(pause) * FRAME, middle(pause) * FRAME)
            }
        } else {
            let quietest = (half..whole).min_by(|&a, &b| {
                let (a, b) = (self.frames[a], self.frames[b]);
                // An unvoiced frame before a voiced one, whatever its power.
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            });
            let at = quietest.unwrap_or(half).max(1) * FRAME;
            (at, at)
        };
        let to_the_end = pause.is_some_and(|p| p.end == self.frames.len());
        let mut samples = self.pending[..end].to_vec();
        samples.shrink_to_fit();
        out.push(Piece { start: self.start, samples });
        if to_the_end {
            // How far the pause goes is not known yet.
            self.drop_front(end);
            self.in_pause = true;
        } else {
            self.drop_front(next);
        }
    }
}

/// Runs of frames without voice that are long enough to be a pause.
fn pauses(frames: &[(bool, f32)]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begin = None;
    for (i, &(voiced, _)) in frames.iter().chain([&(true, 0.0)]).enumerate() {
        match begin {
            None if !voiced => begin = Some(i),
            Some(b) if voiced => {
                if i - b >= PAUSE {
                    found.push(b..i);
                }
                begin = None;
            }
            _ => {}
        }
    }
    found
}

/// Intervals in seconds as sorted ones in samples; what is no interval is left out.
fn intervals(list: &[(f64, f64)]) -> Vec<Range<u64>> {
    let sample = |s: f64| (s * f64::from(RATE_HZ)).round().max(0.0) as u64;
    let mut sorted: Vec<_> = list
        .iter()
        .map(|&(on, off)| sample(on)..sample(off))
        .filter(|range| range.start < range.end)
        .collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn touches(list: &[Range<u64>], frame: Range<u64>) -> bool {
    let after = list.partition_point(|range| range.end <= frame.start);
    list.get(after).is_some_and(|range| range.start < frame.end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: usize = RATE_HZ as usize;

    fn cut(samples: &[f32], max_samples: usize, activity: &Activity, block: usize) -> Vec<Piece> {
        let (mut cutter, mut out) = (Cutter::new(max_samples, activity), Vec::new());
        for block in samples.chunks(block) {
            cutter.push(block, &mut out);
        }
        cutter.finish(&mut out);
        out
    }

    /// A sum of harmonics where there is speech, faint noise where there is none.
    fn sound(speech: &[(f64, f64)], seconds: f64) -> Vec<f32> {
        let mut noise = 1u32;
        (0..(seconds * SECOND as f64) as usize)
            .map(|i| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let t = i as f64 / SECOND as f64;
                let voiced = speech.iter().any(|&(on, off)| (on..off).contains(&t));
                let envelope = 0.6 + 0.4 * (2.0 * std::f64::consts::PI * 4.0 * t).sin();
                let tone: f64 = (1..=20)
                    .map(|k| {
                        (2.0 * std::f64::consts::PI * 130.0 * f64::from(k) * t).sin() / f64::from(k)
                    })
                    .sum();
                let faint = (f64::from(noise >> 8) / f64::from(1 << 24) - 0.5) * 2e-4;
                (if voiced { 0.2 * envelope * tone } else { 0.0 } + faint) as f32
            })
            .collect()
    }

    #[test]
    fn a_short_recording_is_one_whole_piece() {
        let samples = sound(&[(1.0, 4.0)], 10.0);
        let whole = vec![Piece { start: 0, samples: samples.clone() }];
        assert_eq!(cut(&samples, 10 * SECOND, &Activity::Detect, 1000), whole);
        assert_eq!(cut(&samples, 10 * SECOND, &Activity::Given(vec![]), 1000), whole);
        assert_eq!(cut(&[], SECOND, &Activity::Detect, 1), Vec::new());
    }

    #[test]
    fn cuts_lie_in_pauses_that_are_heard_or_given() {
        let speech = [(0.0, 6.0), (6.5, 9.0), (11.0, 17.0), (17.4, 24.0)];
        let samples = sound(&speech, 24.0);
        for activity in [Activity::Given(speech.to_vec()), Activity::Detect] {
            let pieces = cut(&samples, 10 * SECOND, &activity, 4096);
            let edges: Vec<_> = pieces
                .iter()
                .map(|p| {
                    [p.start, p.start + p.samples.len() as u64].map(|s| s as f64 / SECOND as f64)
                })
                .collect();
            assert_eq!(pieces.len(), 3, "{activity:?}: {edges:?}");
            // The pause of two seconds: 0.3 s stay on both sides, the middle is dropped.
            assert!((edges[0][1] - 9.3).abs() < 0.15, "{activity:?}: {edges:?}");
            assert!((edges[1][0] - 10.7).abs() < 0.15, "{activity:?}: {edges:?}");
            // The pause of 0.4 s is cut in its middle, and nothing is dropped.
            assert!((edges[1][1] - 17.2).abs() < 0.15, "{activity:?}: {edges:?}");
            assert_eq!(edges[1][1], edges[2][0], "{activity:?}");
            assert_eq!(edges[2][1], 24.0);
        }
    }

    #[test]
    fn speech_without_a_pause_is_cut_where_it_is_quietest() {
        let mut samples = sound(&[(0.0, 12.0)], 12.0);
        let dip = 8 * SECOND..8 * SECOND + 2 * FRAME;
        samples[dip.clone()].iter_mut().for_each(|x| *x *= 0.01);
        let pieces = cut(&samples, 10 * SECOND, &Activity::Given(vec![(0.0, 12.0)]), 4096);
        assert_eq!(pieces.len(), 2);
        assert!(dip.contains(&(pieces[1].start as usize)), "{}", pieces[1].start);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Pieces and dropped silence tile the source, whatever the activity and however blocks come.
        #[test]
        fn pieces_and_dropped_silence_tile_the_recording(
            turns in prop::collection::vec((0.0..3.0f64, 0.0..4.0f64), 0..12),
            tail in 0usize..40_000,
            max_samples in 10_000usize..60_000,
            block in 1usize..20_000,
        ) {
            let mut at = 0.0;
            let speech: Vec<_> = turns
                .iter()
                .map(|&(silence, voice)| {
                    let on = at + silence;
                    at = on + voice;
                    (on, at)
                })
                .collect();
            let n = (at * SECOND as f64) as usize + tail;
            // Every sample is another, so that a repeated or lost one shows.
            let samples: Vec<f32> = (0..n).map(|i| i as f32 / (1 << 24) as f32).collect();
            let activity = Activity::Given(speech.clone());
            let pieces = cut(&samples, max_samples, &activity, block);
            prop_assert!(cut(&samples, max_samples, &activity, 777) == pieces, "blocks matter");
            let max_samples = max_samples.max(SECOND);
            let list = intervals(&speech);
            let mut end = 0;
            for piece in &pieces {
                let start = piece.start as usize;
                prop_assert!(start >= end && !piece.samples.is_empty());
                prop_assert!(piece.samples.len() <= max_samples);
                prop_assert!(start == end || !touches(&list, end as u64..start as u64), "speech was dropped");
                end = start + piece.samples.len();
                prop_assert!(samples[start..end] == piece.samples, "other samples");
            }
            prop_assert!(end == n || !touches(&list, end as u64..n as u64), "speech was dropped");
            if n > 0 && n <= max_samples {
                prop_assert_eq!(pieces.len(), 1);
            }
        }
    }
}
