//! Where a training step's time goes on the CPU: each operation at the shapes of the two benchmarked models, forward
//! and backward, times how often a step has it.
//!
//! `cargo bench -p slam-nn --bench profile`. Operations are timed alone (best of several runs), so their sum is not
//! the step's time; it leaves out what the tape costs.
#![allow(missing_docs)]

use burn::tensor::{Device, Distribution, Int, Tensor};
use slam_nn::ops::{self, AdamWStep};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;

struct Shape {
    name: &'static str,
    layers: usize,
    batch: usize,
    time: usize,
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
}

const DIM: usize = 64;
const VOCAB: usize = 502;

const SHAPES: [Shape; 2] = [
    Shape {
        name: "small",
        layers: 4,
        batch: 8,
        time: 256,
        hidden: 256,
        ffn: 1024,
        heads: 4,
        kv_heads: 4,
    },
    Shape {
        name: "half",
        layers: 24,
        batch: 1,
        time: 1024,
        hidden: 896,
        ffn: 4864,
        heads: 14,
        kv_heads: 2,
    },
];

fn best(mut run: impl FnMut()) -> f64 {
    run();
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

fn random<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(dims, Distribution::Normal(0.0, 1.0), &device).require_grad()
}

/// Milliseconds of an operation, forward and backward, without the sum that the backward pass begins with.
fn both<const D: usize>(run: impl Fn() -> Tensor<D>) -> f64 {
    let result = run().detach().require_grad();
    let seed = best(|| drop(result.clone().sum().backward()));
    (best(|| drop(run().sum().backward())) - seed).max(0.0)
}

fn linear(rows: usize, input: usize, output: usize, bias: bool) -> f64 {
    let (x, weight) = (random([rows, input]), random([output, input]));
    let bias = bias.then(|| random([output]));
    both(|| ops::linear(x.clone(), weight.clone(), bias.clone()))
}

fn profile(s: &Shape) {
    let Shape { layers, batch, time, hidden, ffn, heads, kv_heads, .. } = *s;
    let (rows, query, kv) = (batch * time, heads * DIM, kv_heads * DIM);
    let device = Device::flex().autodiff();
    let mut parts: Vec<(&str, f64)> = Vec::new();
    let n = layers as f64;

    let feed_forward = 2.0 * linear(rows, hidden, ffn, false) + linear(rows, ffn, hidden, false);
    parts.push(("feed-forward products", n * feed_forward));
    let attention = linear(rows, hidden, query, true)
        + 2.0 * linear(rows, hidden, kv, true)
        + linear(rows, query, hidden, false);
    parts.push(("attention's projections", n * attention));

    let q = random([batch, time, heads, DIM]);
    let (k, v) = (random([batch, time, kv_heads, DIM]), random([batch, time, kv_heads, DIM]));
    let starts = Tensor::<2, Int>::zeros([batch, time], &device);
    let attend =
        both(|| ops::causal_attention(q.clone(), k.clone(), v.clone(), starts.clone(), 0.125));
    parts.push(("attention", n * attend));

    let table = || Tensor::<2>::random([time, DIM / 2], Distribution::Default, &device);
    let (cos, sin) = (table(), table());
    let positions =
        Tensor::<1, Int>::arange(0..time as i64, &device).reshape([1, time]).repeat_dim(0, batch);
    let rotate = |x: &Tensor<4>| {
        both(|| ops::rotary(x.clone(), cos.clone(), sin.clone(), positions.clone()))
    };
    parts.push(("rotary positions", n * (rotate(&q) + rotate(&k))));

    let (gate, up) = (random([rows, ffn]), random([rows, ffn]));
    parts.push(("SwiGLU", n * both(|| ops::swiglu(gate.clone(), up.clone()))));
    let (x, weight) = (random([rows, hidden]), random([hidden]));
    let norm = both(|| ops::rms_norm(x.clone(), weight.clone(), 1e-6));
    parts.push(("norms", (2.0 * n + 1.0) * norm));
    let y = random([rows, hidden]);
    // The sum, and the two gradients that meet where the stream was split.
    let add = both(|| x.clone() + y.clone()) + best(|| drop(x.clone().inner() + y.clone().inner()));
    parts.push(("residual sums", 2.0 * n * add));

    let head = random([VOCAB, hidden]);
    let targets = Tensor::<1, Int>::zeros([rows], &device) + 7;
    let nll = both(|| ops::token_nll(x.clone(), head.clone(), targets.clone()));
    let ids = Tensor::<1, Int>::zeros([rows], &device) + 3;
    let embed = both(|| head.clone().select(0, ids.clone()));
    parts.push(("embedding, head and cross-entropy", nll + embed));
    parts.push(("gradient norm and AdamW", n * optimise(hidden, ffn, query, kv)));

    let all: f64 = parts.iter().map(|(_, ms)| ms).sum();
    println!("{}: {all:.0} ms, {:.0} tokens/s", s.name, rows as f64 / all * 1e3);
    for (name, ms) in parts {
        println!("  {name:<36} {ms:9.1} ms  {:5.1} %", 100.0 * ms / all);
    }
}

/// Norm and step of one block's matrices.
fn optimise(hidden: usize, ffn: usize, query: usize, kv: usize) -> f64 {
    let (lr, beta1, beta2, eps) = (1e-3, 0.9, 0.999, 1e-8);
    let step = AdamWStep { lr, beta1, beta2, eps, weight_decay: 0.0, step: 3, grad_scale: 1.0 };
    let matrices = [(ffn, 3.0), (query, 2.0), (kv, 2.0)];
    let times = matrices.map(|(rows, count)| {
        let make = || Tensor::<2>::random([rows, hidden], Distribution::Default, &Device::flex());
        let grad = make();
        let mut state = Some((make(), make(), make()));
        let time = best(|| {
            if let Some((p, m, v)) = state.take() {
                state = Some(ops::adamw_step(p, grad.clone(), m, v, &step));
            }
        });
        let norm = best(|| {
            std::hint::black_box(ops::sum_of_squares(&grad));
        });
        count * (time + norm)
    });
    times.iter().sum()
}

fn main() {
    if std::env::args().any(|a| a == "--prepare-only") {
        return;
    }
    println!("best of {RUNS}, {} threads", rayon::current_num_threads());
    SHAPES.iter().for_each(profile);
}
