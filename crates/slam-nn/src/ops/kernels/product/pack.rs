//! An operand of a matrix product laid out as its tiles read it: lines, which are rows of the left one and columns
//! of the right one, several side by side. A right operand is given transposed, so that its lines are rows.

use super::matrix::Matrix;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, _mm_castps_si128, _mm_storel_epi64, _mm_storeu_ps, _mm256_castps256_ps128,
    _mm256_extractf128_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_setzero_ps,
    _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

/// Elements taken from a line, or lines from a panel, at a time.
const STRIP: usize = 8;

/// [`pack`] in plain code.
pub(super) fn plain<const W: usize>(lines: Matrix, panels: &mut [f32]) {
    pack::<W>(lines, panels, one_by_one::<W>);
}

/// [`pack`] with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2<const W: usize>(lines: Matrix, panels: &mut [f32]) {
    pack::<W>(lines, panels, |lines, panel| turn::<W>(lines, panel));
}

/// Lays lines out panel by panel: element by element, the `W` lines' beside each other. Of a last, partial
/// panel the rest is not for use. `turn` does so for one panel of lines whose elements lie beside each other.
///
/// # Panics
/// If `panels` is too short.
#[inline(always)]
#[allow(clippy::inline_always)]
fn pack<const W: usize>(lines: Matrix, panels: &mut [f32], turn: impl Fn(Matrix, &mut [f32])) {
    let (count, inner) = (lines.rows, lines.cols);
    let panels = &mut panels[..count.next_multiple_of(W) * inner];
    if lines.col_stride != 1 && lines.row_stride == 1 {
        return copy::<W>(lines, panels);
    }
    for (panel, first) in panels.chunks_exact_mut(W * inner).zip((0..count).step_by(W)) {
        let lines = lines.part(first, (first + W).min(count), 0, inner);
        if lines.col_stride == 1 {
            turn(lines, panel);
        } else {
            one_by_one::<W>(lines, panel);
        }
    }
}

/// Lines whose elements lie apart, but beside each other's: whole panels' rows are copied.
#[inline(always)]
#[allow(clippy::inline_always)]
fn copy<const W: usize>(lines: Matrix, panels: &mut [f32]) {
    let Matrix { data, rows: count, cols: inner, col_stride: step, .. } = lines;
    let (whole, rest) = (count / W, count % W);
    // Some elements of all panels before the next ones: memory is read along its rows, and each panel's
    // share is as long as a few cache lines.
    for from in (0..inner).step_by(STRIP) {
        let to = (from + STRIP).min(inner);
        for panel in 0..whole {
            let place = panel * W * inner;
            for at in from..to {
                let source = &data[at * step + panel * W..][..W];
                panels[place + at * W..][..W].copy_from_slice(source);
            }
        }
        if rest > 0 {
            for at in from..to {
                let source = &data[at * step + whole * W..][..rest];
                panels[whole * W * inner + at * W..][..rest].copy_from_slice(source);
            }
        }
    }
}

/// Up to `W` lines whose elements lie beside each other: squares of eight by eight are turned over.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn turn<const W: usize>(lines: Matrix, panel: &mut [f32]) {
    let Matrix { data, rows: count, cols: inner, row_stride: stride, .. } = lines;
    if count < W {
        return one_by_one::<W>(lines, panel);
    }
    let strips = inner / STRIP * STRIP;
    for from in (0..strips).step_by(STRIP) {
        for first in (0..W).step_by(STRIP) {
            let wide = STRIP.min(W - first);
            let mut square = [_mm256_setzero_ps(); STRIP];
            for (line, row) in square[..wide].iter_mut().enumerate() {
                let source = &data[(first + line) * stride + from..][..STRIP];
                // SAFETY: `source` is a slice of eight values.
                *row = unsafe { _mm256_loadu_ps(source.as_ptr()) };
            }
            for (at, row) in transposed(square).into_iter().enumerate() {
                let place = &mut panel[(from + at) * W + first..][..wide];
                let (place, low) = (place.as_mut_ptr(), _mm256_castps256_ps128(row));
                // SAFETY: each arm writes `wide` values, which is what the slice has: a tile has 6 or 12 rows, a
                // panel 16 or 32 columns.
                unsafe {
                    match wide {
                        8 => _mm256_storeu_ps(place, row),
                        4 => _mm_storeu_ps(place, low),
                        6 => {
                            _mm_storeu_ps(place, low);
                            let high = _mm256_extractf128_ps::<1>(row);
                            _mm_storel_epi64(place.add(4).cast(), _mm_castps_si128(high));
                        }
                        _ => unreachable!("panels of {W} lines"),
                    }
                }
            }
        }
    }
    one_by_one::<W>(lines.part(0, W, strips, inner), &mut panel[strips * W..]);
}

/// Rows and columns of a square exchanged.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline]
fn transposed(r: [__m256; 8]) -> [__m256; 8] {
    let low = |i: usize| _mm256_unpacklo_ps(r[i], r[i + 1]);
    let high = |i: usize| _mm256_unpackhi_ps(r[i], r[i + 1]);
    // Of four rows each, elements 0 and 4, 1 and 5, 2 and 6, 3 and 7.
    let fours = |i: usize| {
        [
            _mm256_shuffle_ps::<0x44>(low(i), low(i + 2)),
            _mm256_shuffle_ps::<0xee>(low(i), low(i + 2)),
            _mm256_shuffle_ps::<0x44>(high(i), high(i + 2)),
            _mm256_shuffle_ps::<0xee>(high(i), high(i + 2)),
        ]
    };
    let (a, b) = (fours(0), fours(4));
    let first = |i: usize| _mm256_permute2f128_ps::<0x20>(a[i], b[i]);
    let second = |i: usize| _mm256_permute2f128_ps::<0x31>(a[i], b[i]);
    [first(0), first(1), first(2), first(3), second(0), second(1), second(2), second(3)]
}

/// Any lines.
fn one_by_one<const W: usize>(lines: Matrix, panel: &mut [f32]) {
    let Matrix { data, rows: count, cols: inner, row_stride: stride, col_stride: step } = lines;
    for (at, place) in panel.chunks_exact_mut(W).enumerate().take(inner) {
        for (line, place) in place[..count].iter_mut().enumerate() {
            *place = data[line * stride + at * step];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const W: usize>(count: usize, inner: usize, stride: usize, step: usize) {
        let data: Vec<f32> = (0..(count * stride).max(inner * step)).map(|i| i as f32).collect();
        let lines = Matrix::strided(&data, count, inner, stride, step);
        let look = |panels: &[f32]| {
            for line in 0..count {
                for at in 0..inner {
                    let got = panels[line / W * W * inner + at * W + line % W];
                    assert_eq!(got, (line * stride + at * step) as f32, "{W}: {line}, {at}");
                }
            }
        };
        let empty = vec![-1.0; count.next_multiple_of(W) * inner];
        let mut panels = empty.clone();
        plain::<W>(lines, &mut panels);
        look(&panels);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            panels.clone_from(&empty);
            // SAFETY: AVX2 and FMA were detected just now.
            unsafe { avx2::<W>(lines, &mut panels) };
            look(&panels);
        }
    }

    #[test]
    fn panels_hold_every_element() {
        for (count, inner) in [(1, 1), (6, 8), (12, 16), (16, 9), (32, 24), (37, 19), (96, 7)] {
            for (stride, step) in
                [(inner, 1), (inner + 3, 1), (1, count), (1, count + 5), (2 * inner, 2)]
            {
                check::<6>(count, inner, stride, step);
                check::<12>(count, inner, stride, step);
                check::<16>(count, inner, stride, step);
                check::<32>(count, inner, stride, step);
            }
        }
    }
}
