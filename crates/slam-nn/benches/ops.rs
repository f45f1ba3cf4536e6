//! Times of the fused operations beside their plain-tensor twins, forward and forward + backward.
//!
//! `cargo bench -p slam-nn --bench ops [-- FILTER]`; best of several runs in milliseconds.
#![allow(missing_docs)]

use burn::tensor::{Device, Distribution, Int, Tensor};
use slam_nn::ops::{self, AdamWStep, reference};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 8;

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

/// Prints forward and forward + backward of both forms.
fn compare<const D: usize>(
    name: &str,
    filter: &str,
    fused: impl Fn() -> Tensor<D>,
    plain: impl Fn() -> Tensor<D>,
) {
    if !name.contains(filter) {
        return;
    }
    let time = |run: &dyn Fn() -> Tensor<D>| {
        let forward = best(|| drop(run()));
        let both = best(|| drop(run().sum().backward()));
        (forward, both)
    };
    let (plain, fused) = (time(&plain), time(&fused));
    println!(
        "{name:<34} forward {:8.2} -> {:8.2}   with backward {:8.2} -> {:8.2}",
        plain.0, fused.0, plain.1, fused.1
    );
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    println!("plain -> fused, ms, best of {RUNS}, {} threads", rayon::current_num_threads());
    for (batch, time, hidden, ffn, heads, kv_heads, dim) in
        [(1, 1024, 896, 4864, 14, 2, 64), (8, 256, 256, 1024, 4, 4, 64)]
    {
        let rows = batch * time;
        let device = Device::flex().autodiff();
        let label = |op: &str| format!("{op} {rows}x{hidden}");
        let (x, weight) = (random([rows, hidden]), random([hidden]));
        let bias = random([hidden]);
        compare(
            &label("rms_norm"),
            &filter,
            || ops::rms_norm(x.clone(), weight.clone(), 1e-6),
            || reference::rms_norm(x.clone(), weight.clone(), 1e-6),
        );
        compare(
            &label("layer_norm"),
            &filter,
            || ops::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5),
            || reference::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5),
        );
        let (gate, up) = (random([rows, ffn]), random([rows, ffn]));
        compare(
            &label("swiglu"),
            &filter,
            || ops::swiglu(gate.clone(), up.clone()),
            || reference::swiglu(gate.clone(), up.clone()),
        );
        compare(
            &label("gelu"),
            &filter,
            || ops::gelu(gate.clone()),
            || reference::gelu(gate.clone()),
        );
        let wide = random([ffn, hidden]);
        compare(
            &label("linear to ffn"),
            &filter,
            || ops::linear(x.clone(), wide.clone(), None),
            || reference::linear(x.clone(), wide.clone(), None),
        );
        let token = random([1, hidden]);
        compare(
            &label("linear of one token"),
            &filter,
            || ops::linear(token.clone(), wide.clone(), None),
            || reference::linear(token.clone(), wide.clone(), None),
        );
        let square = random([hidden, hidden]);
        compare(
            &label("linear with bias"),
            &filter,
            || ops::linear(x.clone(), square.clone(), Some(bias.clone())),
            || reference::linear(x.clone(), square.clone(), Some(bias.clone())),
        );
        let q = random([batch, time, heads, dim]);
        let (k, v) = (random([batch, time, kv_heads, dim]), random([batch, time, kv_heads, dim]));
        let table = || Tensor::<2>::random([time, dim / 2], Distribution::Default, &device);
        let (cos, sin) = (table(), table());
        let positions = Tensor::<1, Int>::arange(0..time as i64, &device)
            .reshape([1, time])
            .repeat_dim(0, batch);
        compare(
            &label("rotary"),
            &filter,
            || ops::rotary(q.clone(), cos.clone(), sin.clone(), positions.clone()),
            || reference::rotary(q.clone(), cos.clone(), sin.clone(), positions.clone()),
        );
        let starts = Tensor::<2, Int>::zeros([batch, time], &device);
        compare(
            &label("causal_attention"),
            &filter,
            || ops::causal_attention(q.clone(), k.clone(), v.clone(), starts.clone(), 0.125),
            || reference::causal_attention(q.clone(), k.clone(), v.clone(), starts.clone(), 0.125),
        );
        let head = random([502, hidden]);
        let targets = Tensor::<1, Int>::zeros([rows], &device) + 7;
        compare(
            &label("token_nll 502"),
            &filter,
            || ops::token_nll(x.clone(), head.clone(), targets.clone()),
            || reference::token_nll(x.clone(), head.clone(), targets.clone()),
        );
        optimiser(hidden, ffn, &filter);
    }
}

/// One AdamW step of a feed-forward weight.
fn optimiser(hidden: usize, ffn: usize, filter: &str) {
    let name = format!("adamw_step {ffn}x{hidden}");
    if !name.contains(filter) {
        return;
    }
    let make = || Tensor::<2>::random([ffn, hidden], Distribution::Default, &Device::flex());
    let step = AdamWStep {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        step: 3,
        grad_scale: 1.0,
    };
    let grad = make();
    let mut times = Vec::new();
    for run in [reference::adamw_step::<2>, ops::adamw_step::<2>] {
        let mut state = Some((make(), make(), make()));
        times.push(best(|| {
            if let Some((p, m, v)) = state.take() {
                state = Some(run(p, grad.clone(), m, v, &step));
            }
        }));
    }
    println!("{name:<34} step    {:8.2} -> {:8.2}", times[0], times[1]);
}
