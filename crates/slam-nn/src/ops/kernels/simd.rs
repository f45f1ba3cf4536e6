//! Code that the vectoriser turns into AVX-512, AVX2 or baseline instructions, chosen at run time.

/// Independent partial sums; the vectoriser may not reorder float additions by itself.
pub(super) const LANES: usize = 16;

/// Compiles the body three times (baseline, AVX2 + FMA, AVX-512) and picks one at run time: a
/// portable build has SSE2 code only, two to four times slower.
macro_rules! multiversion {
    ($(#[$m:meta])* $v:vis fn $name:ident ( $($a:ident : $t:ty),* $(,)? ) $(-> $r:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments)]
        $v fn $name($($a: $t),*) $(-> $r)? {
            #[inline(always)]
            #[allow(clippy::inline_always)]
            fn body($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($a: $t),*) $(-> $r)? { body($($a),*) }
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                fn avx512($($a: $t),*) $(-> $r)? { body($($a),*) }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the machine has every feature that the function is compiled with.
                    return unsafe { avx512($($a),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the machine has both features that the function is compiled with.
                    return unsafe { avx2($($a),*) };
                }
            }
            body($($a),*)
        }
    };
}

/// Sum of `f` over `x`, in `LANES` partial sums. `as_chunks` rather than an index: a bounds check
/// per element stops the vectoriser.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (acc, &v) in acc.iter_mut().zip(chunk) {
            *acc += f(v);
        }
    }
    let mut total: f32 = acc.iter().sum();
    for &v in tail {
        total += f(v);
    }
    total
}

/// Sum of `f` over the pairs of `x` and `y`.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (xc, xt) = x.as_chunks::<LANES>();
    let (yc, yt) = y.as_chunks::<LANES>();
    for (x, y) in xc.iter().zip(yc) {
        for ((acc, &x), &y) in acc.iter_mut().zip(x).zip(y) {
            *acc += f(x, y);
        }
    }
    let mut total: f32 = acc.iter().sum();
    for (&x, &y) in xt.iter().zip(yt) {
        total += f(x, y);
    }
    total
}

/// The partial sums together. Not inlined: beside its like for other rows, the vectoriser would take one lane of
/// each row for a vector, and shuffle at every step to get there (half of the speed with AVX2).
#[inline(never)]
fn total(acc: &[f32; LANES]) -> f32 {
    acc.iter().sum()
}

/// [`sum2`] of `y` with each of the four rows of `x`, with the same bytes: four sums at once hide what one
/// addition has to wait for the one before.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn sum_of_four(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    let width = y.len();
    let row = |i: usize| x[i * width..(i + 1) * width].as_chunks::<LANES>();
    let ((ac, at), (bc, bt), (cc, ct), (dc, dt)) = (row(0), row(1), row(2), row(3));
    let (yc, yt) = y.as_chunks::<LANES>();
    let mut acc = [[0.0f32; LANES]; 4];
    for ((((a, b), c), d), y) in ac.iter().zip(bc).zip(cc).zip(dc).zip(yc) {
        for (acc, x) in acc.iter_mut().zip([a, b, c, d]) {
            for ((acc, &x), &y) in acc.iter_mut().zip(x).zip(y) {
                *acc += f(x, y);
            }
        }
    }
    let mut totals = acc.map(|acc| total(&acc));
    for (total, x) in totals.iter_mut().zip([at, bt, ct, dt]) {
        for (&x, &y) in x.iter().zip(yt) {
            *total += f(x, y);
        }
    }
    totals
}

/// Sum of `f` over the triples of `x`, `y` and `z`.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn sum3(x: &[f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (xc, xt) = x.as_chunks::<LANES>();
    let (yc, yt) = y.as_chunks::<LANES>();
    let (zc, zt) = z.as_chunks::<LANES>();
    for ((x, y), z) in xc.iter().zip(yc).zip(zc) {
        for (((acc, &x), &y), &z) in acc.iter_mut().zip(x).zip(y).zip(z) {
            *acc += f(x, y, z);
        }
    }
    let mut total: f32 = acc.iter().sum();
    for ((&x, &y), &z) in xt.iter().zip(yt).zip(zt) {
        total += f(x, y, z);
    }
    total
}

/// Largest value, NaN passed over (the sum of exponentials that follows carries it on).
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn max(x: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (acc, &v) in acc.iter_mut().zip(chunk) {
            *acc = if v > *acc { v } else { *acc };
        }
    }
    let mut top = f32::NEG_INFINITY;
    for &v in acc.iter().chain(tail) {
        top = if v > top { v } else { top };
    }
    top
}

/// exp to about 2 ulp, without branches (`f32::exp` is a library call per element). NaN stays NaN;
/// below -87 it is 0 within f32's normal range.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    let t = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = t - 12_582_912.0;
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(t.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// erf to about 2e-7: the Taylor series within 1, Abramowitz & Stegun 7.1.26 beyond.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(super) fn erf(x: f32) -> f32 {
    let s = x * x;
    let p = 1.312_253_3e-8 * 1.0;
    let p = p * s - 1.450_385_2e-7;
    let p = p * s + 1.458_916_9e-6;
    let p = p * s - 1.322_751_3e-5;
    let p = p * s + 1.068_376_1e-4;
    let p = p * s - 7.575_757_6e-4;
    let p = p * s + 4.629_629_6e-3;
    let p = p * s - 2.380_952_4e-2;
    let p = p * s + 0.1;
    let p = p * s - 0.333_333_33;
    let p = p * s + 1.0;
    let near = std::f32::consts::FRAC_2_SQRT_PI * x * p;
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let q = 1.061_405_4;
    let q = q * t - 1.453_152;
    let q = q * t + 1.421_413_7;
    let q = q * t - 0.284_496_74;
    let q = q * t + 0.254_829_6;
    let far = (1.0 - q * t * exp(-s)).copysign(x);
    if a < 1.0 { near } else { far }
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_within_3e_7_of_f64() {
        let mut worst = 0f64;
        for i in -860_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(super::exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 3e-7, "{worst:e}");
        assert!(super::exp(f32::NAN).is_nan());
        assert!(super::exp(-1e30) < 1e-37);
    }

    #[test]
    fn erf_is_within_3e_7_of_its_series() {
        for i in -4000..=4000 {
            let x = f64::from(i) * 1e-3;
            // Maclaurin series in f64; 80 terms are ample up to 4.
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            let exact = std::f64::consts::FRAC_2_SQRT_PI * sum;
            let got = f64::from(super::erf(x as f32));
            assert!((got - exact).abs() < 3e-7, "erf({x}) = {got}, not {exact}");
        }
        assert_eq!(super::erf(20.0), 1.0);
        assert!(super::erf(f32::NAN).is_nan());
    }
}
