//! Fused operations against their plain-tensor twins: values and gradients, odd sizes, views that
//! aren't dense, and the same bytes for any number of threads.
#![allow(clippy::unwrap_used, missing_docs)]

use burn::tensor::{Device, Int, Tensor, TensorData};
use slam_nn::ops::{self, AdamWStep, reference};

/// Pseudo-random values in [-1, 1), a function of the seed alone.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn leaf<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    let data = TensorData::new(noise(dims.iter().product(), seed), dims);
    Tensor::from_data(data, &device()).require_grad()
}

fn ints<const D: usize>(values: Vec<i64>, dims: [usize; D]) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values, dims), &device())
}

fn bits<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.to_data().try_to_vec::<f32>().unwrap()
}

/// Difference relative to the largest value of the oracle, or to 0.05 where it all but cancels.
fn assert_close(what: &str, got: &[f32], oracle: &[f32], tolerance: f32) {
    assert_eq!(got.len(), oracle.len(), "{what}: lengths");
    let scale = oracle.iter().fold(0.05f32, |m, v| m.max(v.abs()));
    for (i, (g, o)) in got.iter().zip(oracle).enumerate() {
        assert!((g - o).abs() <= tolerance * scale, "{what}[{i}]: {g}, oracle {o} (scale {scale})");
    }
}

/// Values and gradients of a weighted sum of the result; `wrt` are the leaves.
type Outcome = Vec<(String, Vec<f32>)>;

fn outcome<const D: usize>(y: Tensor<D>, leaves: Vec<(&str, Leaf)>) -> Outcome {
    let mut all = vec![("y".to_owned(), bits(&y))];
    let dims = y.dims();
    let weights = TensorData::new(noise(dims.iter().product(), 99), dims);
    let gradients = (y * Tensor::from_data(weights, &device())).sum().backward();
    for (name, leaf) in leaves {
        let gradient = match leaf {
            Leaf::One(x) => bits(&x.grad(&gradients).unwrap()),
            Leaf::Two(x) => bits(&x.grad(&gradients).unwrap()),
            Leaf::Three(x) => bits(&x.grad(&gradients).unwrap()),
            Leaf::Four(x) => bits(&x.grad(&gradients).unwrap()),
        };
        all.push((format!("d{name}"), gradient));
    }
    all
}

enum Leaf {
    One(Tensor<1>),
    Two(Tensor<2>),
    Three(Tensor<3>),
    Four(Tensor<4>),
}

#[derive(Clone, Copy)]
enum Form {
    Fused,
    Plain,
}

/// Compares the fused form with the plain one, and the fused one with itself on 1, 2 and 3 threads.
fn check(name: &str, tolerance: f32, run: impl Fn(Form) -> Outcome + Sync) {
    let oracle = run(Form::Plain);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(Form::Fused))
    };
    let one = on(1);
    for ((what, got), (_, want)) in one.iter().zip(&oracle) {
        assert_close(&format!("{name}: {what}"), got, want, tolerance);
    }
    for threads in [2, 3] {
        for ((what, a), (_, b)) in one.iter().zip(&on(threads)) {
            let same = a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: {what} differs on {threads} threads");
        }
    }
}

#[test]
fn linear_equals_the_product_with_and_without_bias() {
    for (rows, inner, outer) in
        [(1, 1, 1), (37, 13, 5), (300, 96, 70), (1, 900, 1200), (3, 200, 515), (7, 500, 601)]
    {
        for biased in [false, true] {
            check(&format!("linear {rows} {inner} {outer}"), 2e-6, |form| {
                let (x, w, b) = (leaf([rows, inner], 1), leaf([outer, inner], 2), leaf([outer], 3));
                let bias = biased.then(|| b.clone());
                let y = match form {
                    Form::Fused => ops::linear(x.clone(), w.clone(), bias),
                    Form::Plain => reference::linear(x.clone(), w.clone(), bias),
                };
                let mut leaves = vec![("x", Leaf::Two(x)), ("w", Leaf::Two(w))];
                if biased {
                    leaves.push(("b", Leaf::One(b)));
                }
                outcome(y, leaves)
            });
        }
    }
}

#[test]
fn a_row_of_few_is_the_row_alone() {
    let device = Device::flex();
    let tensor = |rows: usize, seed: usize| -> Tensor<2> {
        let values = (0..rows * 520).map(|i| ((i * 7919 + seed) % 1009) as f32 / 997.0 - 0.5);
        Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), [rows, 520]), &device)
    };
    let (x, w) = (tensor(15, 1), tensor(600, 2));
    let bits =
        |y: Tensor<2>| -> Vec<u32> { y.into_data().iter::<f32>().map(f32::to_bits).collect() };
    let together = bits(ops::linear(x.clone(), w.clone(), None));
    for (row, together) in together.chunks(600).enumerate() {
        assert_eq!(bits(ops::linear(x.clone().narrow(0, row, 1), w.clone(), None)), together);
    }
}

#[test]
fn norms_equal_their_formulas() {
    for (rows, hidden) in [(1, 3), (37, 12), (300, 256), (5, 897)] {
        check(&format!("rms {rows} {hidden}"), 5e-6, |form| {
            let (x, w) = (leaf([1, rows, hidden], 1), leaf([hidden], 2));
            let y = match form {
                Form::Fused => ops::rms_norm(x.clone(), w.clone(), 1e-6),
                Form::Plain => reference::rms_norm(x.clone(), w.clone(), 1e-6),
            };
            outcome(y, vec![("x", Leaf::Three(x)), ("w", Leaf::One(w))])
        });
        check(&format!("layer norm {rows} {hidden}"), 5e-5, |form| {
            let (x, w, b) = (leaf([rows, hidden], 1), leaf([hidden], 2), leaf([hidden], 3));
            let y = match form {
                Form::Fused => ops::layer_norm(x.clone(), w.clone(), b.clone(), 1e-3),
                Form::Plain => reference::layer_norm(x.clone(), w.clone(), b.clone(), 1e-3),
            };
            outcome(y, vec![("x", Leaf::Two(x)), ("w", Leaf::One(w)), ("b", Leaf::One(b))])
        });
    }
}

#[test]
fn activations_equal_their_formulas_also_on_views() {
    for dims in [[1, 1], [37, 13], [300, 128]] {
        check("swiglu", 3e-6, |form| {
            let (a, b) = (leaf(dims, 1), leaf([dims[1], dims[0]], 2));
            // A transposed view and a scaled input: neither dense nor small.
            let (gate, up) = (a.clone() * 8.0, b.clone().transpose());
            let y = match form {
                Form::Fused => ops::swiglu(gate, up),
                Form::Plain => reference::swiglu(gate, up),
            };
            outcome(y, vec![("a", Leaf::Two(a)), ("b", Leaf::Two(b))])
        });
        check("gelu", 3e-6, |form| {
            let x = leaf([dims[0], dims[1], 2], 1);
            let view = (x.clone() * 5.0).swap_dims(0, 2);
            let y = match form {
                Form::Fused => ops::gelu(view),
                Form::Plain => reference::gelu(view),
            };
            outcome(y, vec![("x", Leaf::Three(x))])
        });
    }
}

#[test]
fn rotary_equals_the_formula_also_partial_and_on_slices() {
    for (time, heads, dim, half) in [(1, 1, 8, 4), (37, 3, 12, 3), (300, 2, 64, 32)] {
        check(&format!("rotary {time} {heads} {dim} {half}"), 2e-6, |form| {
            let x = leaf([2, time, heads, dim + 1], 1);
            let view = x.clone().narrow(3, 1, dim);
            let plain = Device::flex().autodiff();
            let table = |seed| {
                Tensor::<2>::from_data(
                    TensorData::new(noise(400 * half, seed), [400, half]),
                    &plain,
                )
            };
            let (cos, sin) = (table(5), table(6));
            let positions: Vec<i64> = (0..2 * time).map(|i| (i * 7 % 400) as i64).collect();
            let positions = ints(positions, [2, time]);
            let y = match form {
                Form::Fused => ops::rotary(view, cos, sin, positions),
                Form::Plain => reference::rotary(view, cos, sin, positions),
            };
            outcome(y, vec![("x", Leaf::Four(x))])
        });
    }
}

/// Starts of packed segments of these lengths, repeated to fill the row.
fn packed(time: usize, lengths: &[usize]) -> Vec<i64> {
    let (mut starts, mut i) = (Vec::new(), 0);
    while starts.len() < time {
        let start = starts.len() as i64;
        let len = lengths[i % lengths.len()].min(time - starts.len());
        starts.extend(std::iter::repeat_n(start, len));
        i += 1;
    }
    starts
}

#[test]
fn attention_equals_the_masked_softmax() {
    for (time, heads, kv_heads, dim) in
        [(1, 2, 1, 8), (37, 6, 3, 12), (300, 4, 2, 64), (130, 3, 3, 8), (600, 2, 1, 16)]
    {
        for lengths in [vec![time], vec![5, 40, 1, 17], vec![100, 30]] {
            check(
                &format!("attention {time} {heads} {kv_heads} {dim} {lengths:?}"),
                5e-6,
                |form| {
                    let q = leaf([2, time, heads, dim], 1);
                    let (k, v) =
                        (leaf([2, time, kv_heads, dim], 2), leaf([2, time, kv_heads, dim], 3));
                    let mut starts = packed(time, &lengths);
                    starts.extend(packed(time, &[time.div_ceil(2)]));
                    let starts = ints(starts, [2, time]);
                    let query = q.clone() * 4.0;
                    let scale = 1.0 / (dim as f64).sqrt();
                    let y = match form {
                        Form::Fused => {
                            ops::causal_attention(query, k.clone(), v.clone(), starts, scale)
                        }
                        Form::Plain => {
                            reference::causal_attention(query, k.clone(), v.clone(), starts, scale)
                        }
                    };
                    outcome(
                        y,
                        vec![("q", Leaf::Four(q)), ("k", Leaf::Four(k)), ("v", Leaf::Four(v))],
                    )
                },
            );
        }
    }
}

#[test]
fn attention_over_any_stretch_of_keys_equals_the_masked_softmax() {
    for (time, heads, kv_heads, dim) in [(1, 2, 1, 8), (37, 6, 3, 12), (300, 4, 2, 16)] {
        check(&format!("ranged {time} {heads} {kv_heads} {dim}"), 5e-6, |form| {
            let q = leaf([2, time, heads, dim], 1);
            let (k, v) = (leaf([2, time, kv_heads, dim], 2), leaf([2, time, kv_heads, dim], 3));
            // Also keys behind the query, and stretches without any.
            let stretch = |i: usize| (i * 31 % time, i * 17 % (time + 1));
            let (starts, ends): (Vec<i64>, Vec<i64>) =
                (0..2 * time).map(stretch).map(|(a, b)| (a.min(b) as i64, a.max(b) as i64)).unzip();
            let (starts, ends) = (ints(starts, [2, time]), ints(ends, [2, time]));
            let query = q.clone() * 4.0;
            let y = match form {
                Form::Fused => {
                    ops::ranged_attention(query, k.clone(), v.clone(), starts, ends, 0.3)
                }
                Form::Plain => {
                    reference::ranged_attention(query, k.clone(), v.clone(), starts, ends, 0.3)
                }
            };
            outcome(y, vec![("q", Leaf::Four(q)), ("k", Leaf::Four(k)), ("v", Leaf::Four(v))])
        });
    }
}

#[test]
fn cached_attention_sees_each_rows_own_slots() {
    let (q, k) = (leaf([3, 2, 4, 8], 1), leaf([3, 50, 2, 8], 2));
    let v = leaf([3, 50, 2, 8], 3);
    let visible = || ints(vec![1, 2, 0, 37, 49, 50], [3, 2]);
    let got = ops::cached_attention(q.clone(), k.clone(), v.clone(), visible(), 0.3);
    let want = reference::cached_attention(q, k, v, visible(), 0.3);
    assert_close("cached attention", &bits(&got), &bits(&want), 2e-6);
    assert!(bits(&got)[2 * 4 * 8..][..4 * 8].iter().all(|&v| v == 0.0), "no slot, no result");
}

#[test]
fn a_cache_is_written_slot_by_slot() {
    let plain = Device::flex();
    let make = |dims: [usize; 4], seed| {
        let data = TensorData::new(noise(dims.iter().product(), seed), dims);
        Tensor::<4>::from_data(data, &plain)
    };
    let slots = || Tensor::<2, Int>::from_data([[0i64, 1, 2], [4, -1, 9]], &plain);
    let got = ops::write_cache(make([2, 6, 2, 4], 1), make([2, 3, 2, 4], 2), slots());
    let want = reference::write_cache(make([2, 6, 2, 4], 1), make([2, 3, 2, 4], 2), slots());
    assert_close("cache", &bits(&got), &bits(&want), 1e-7);
}

#[test]
fn token_nll_equals_log_softmax_and_passes_over_negative_targets() {
    for (rows, hidden, vocab) in [(1, 3, 2), (37, 12, 502), (300, 16, 7), (70, 8, 140_000)] {
        check(&format!("nll {rows} {hidden} {vocab}"), 1e-5, |form| {
            let (x, w) = (leaf([rows, hidden], 1), leaf([vocab, hidden], 2));
            let targets: Vec<i64> = (0..rows)
                .map(|i| if i % 5 == 4 { -100 } else { (i * 31 % vocab) as i64 })
                .collect();
            let targets = ints(targets, [rows]);
            let y = match form {
                Form::Fused => ops::token_nll(x.clone(), w.clone(), targets),
                Form::Plain => reference::token_nll(x.clone(), w.clone(), targets),
            };
            outcome(y, vec![("x", Leaf::Two(x)), ("w", Leaf::Two(w))])
        });
    }
}

#[test]
fn a_target_outside_the_vocabulary_is_nan_not_a_crash() {
    // More rows than are taken at a time.
    let rows = 2050;
    let mut targets = vec![3; rows];
    targets[0] = 7;
    for nll in [ops::token_nll, reference::token_nll] {
        let x = leaf([rows, 4], 1);
        let y = nll(x.clone(), leaf([7, 4], 2), ints(targets.clone(), [rows]));
        let values = bits(&y);
        assert!(values[0].is_nan());
        assert!(values[1..].iter().all(|v| v.is_finite()));
        let dx = bits(&x.grad(&y.sum().backward()).unwrap());
        assert!(dx[4..].iter().all(|v| v.is_finite()), "of other rows");
    }
}

#[test]
fn token_nll_agrees_with_f64() {
    let (rows, hidden, vocab) = (20, 24, 502);
    let (x, w) = (noise(rows * hidden, 1), noise(vocab * hidden, 2));
    let targets: Vec<i64> = (0..rows as i64).map(|i| i * 17 % 502).collect();
    let y = ops::token_nll(
        leaf([rows, hidden], 1),
        leaf([vocab, hidden], 2),
        ints(targets.clone(), [rows]),
    );
    for (i, got) in bits(&y).into_iter().enumerate() {
        let logit = |c: usize| -> f64 {
            (0..hidden).map(|j| f64::from(x[i * hidden + j]) * f64::from(w[c * hidden + j])).sum()
        };
        let lse = (0..vocab).map(|c| logit(c).exp()).sum::<f64>().ln();
        let exact = lse - logit(targets[i] as usize);
        assert!((f64::from(got) - exact).abs() < 3e-6, "row {i}: {got}, exactly {exact}");
    }
}

#[test]
fn adamw_equals_the_plain_arithmetic_over_steps() {
    let plain = Device::flex();
    let make =
        |seed| Tensor::<2>::from_data(TensorData::new(noise(37 * 500, seed), [37, 500]), &plain);
    for weight_decay in [0.0, 0.1] {
        let mut fused = (make(1), make(1) * 0.0, make(1) * 0.0);
        let mut twin = (make(1), make(1) * 0.0, make(1) * 0.0);
        for n in 1..=5 {
            let step = AdamWStep {
                lr: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay,
                step: n,
                grad_scale: 0.5,
            };
            let (p, m, v) = fused;
            fused = ops::adamw_step(p, make(n + 10), m, v, &step);
            let (p, m, v) = twin;
            twin = reference::adamw_step(p, make(n + 10), m, v, &step);
        }
        assert_close("parameter", &bits(&fused.0), &bits(&twin.0), 1e-6);
        assert_close("first moment", &bits(&fused.1), &bits(&twin.1), 1e-6);
        assert_close("second moment", &bits(&fused.2), &bits(&twin.2), 1e-6);
    }
}

#[test]
fn sums_of_squares_are_exact_to_f64() {
    let values = noise(100_003, 4);
    let exact: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let x = Tensor::<1>::from_data(TensorData::new(values, [100_003]), &Device::flex());
    assert!((ops::sum_of_squares(&x) / exact - 1.0).abs() < 1e-12);
}

#[test]
fn checkpointing_and_constant_inputs_change_no_gradient() {
    let run = |device: &Device| {
        let make = |dims: [usize; 2], seed| {
            let data = TensorData::new(noise(dims[0] * dims[1], seed), dims);
            Tensor::<2>::from_data(data, device)
        };
        let x = make([9, 16], 1).require_grad();
        // The weight has no autodiff context at all: a constant.
        let weight = Tensor::<1>::ones([16], &Device::flex());
        let y = ops::rms_norm(x.clone(), weight, 1e-6);
        let y = ops::swiglu(y.clone(), y * 2.0);
        let y = ops::gelu(ops::linear(y, make([5, 16], 2), None));
        bits(&x.grad(&y.sum().backward()).unwrap())
    };
    let kept = run(&Device::flex().autodiff());
    let again = run(&Device::flex().autodiff().gradient_checkpointing());
    assert_eq!(kept, again);
    assert!(kept.iter().any(|&g| g != 0.0));
}
