//! Whole training steps of a Qwen2-shaped decoder made of the fused operations: forward, backward,
//! gradient norm, AdamW; f32, weights random. Prints tokens per second.
//!
//! `cargo bench -p slam-nn --bench step [-- small|half]`
//!
//! With `MIMALLOC_PURGE_DELAY=-1 MIMALLOC_ALLOW_LARGE_OS_PAGES=1` the allocator keeps its blocks, on
//! large pages: at the half-billion shape 87 tokens/s became 107, page faults being the difference.
#![allow(missing_docs)]

use burn::tensor::{Device, Distribution, Int, Tensor};
use slam_nn::ops::{self, AdamWStep};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Shape {
    layers: usize,
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    dim: usize,
    batch: usize,
    time: usize,
}

const VOCAB: usize = 502;

/// One parameter with its optimiser's moments.
struct Param<const D: usize> {
    value: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
}

impl<const D: usize> Param<D> {
    fn new(dims: [usize; D]) -> Self {
        let device = Device::flex();
        let value = Tensor::random(dims, Distribution::Normal(0.0, 0.02), &device);
        Self { value, m: Tensor::zeros(dims, &device), v: Tensor::zeros(dims, &device) }
    }

    /// A leaf of a new tape.
    fn leaf(&self) -> Tensor<D> {
        self.value.clone().autodiff().require_grad()
    }
}

/// Weights and biases of one model, in the order in which `forward` asks for them.
struct Model {
    matrices: Vec<Param<2>>,
    vectors: Vec<Param<1>>,
}

fn model(n: &Shape) -> Model {
    let (q, kv) = (n.heads * n.dim, n.kv_heads * n.dim);
    let (mut matrices, mut vectors) = (vec![[VOCAB, n.hidden]], vec![n.hidden]);
    for _ in 0..n.layers {
        matrices.extend([[q, n.hidden], [kv, n.hidden], [kv, n.hidden], [n.hidden, q]]);
        matrices.extend([[n.ffn, n.hidden], [n.ffn, n.hidden], [n.hidden, n.ffn]]);
        vectors.extend([n.hidden, q, kv, kv, n.hidden]);
    }
    Model {
        matrices: matrices.into_iter().map(Param::new).collect(),
        vectors: vectors.into_iter().map(|len| Param::new([len])).collect(),
    }
}

fn loss(n: &Shape, matrices: &[Tensor<2>], vectors: &[Tensor<1>]) -> Tensor<1> {
    let rows = n.batch * n.time;
    let device = Device::flex().autodiff();
    let embedding = matrices[0].clone();
    let ids = Tensor::<1, Int>::arange(0..rows as i64, &device) % (VOCAB as i64);
    let positions = Tensor::<1, Int>::arange(0..n.time as i64, &device)
        .reshape([1, n.time])
        .repeat_dim(0, n.batch);
    let starts = Tensor::<2, Int>::zeros([n.batch, n.time], &device);
    let table = || Tensor::<2>::random([n.time, n.dim / 2], Distribution::Default, &device);
    let (cos, sin) = (table(), table());
    let mut x = embedding.clone().select(0, ids.clone());
    let split = |x: Tensor<2>, heads| x.reshape([n.batch, n.time, heads, n.dim]);
    let turn = |x: Tensor<4>| ops::rotary(x, cos.clone(), sin.clone(), positions.clone());
    for layer in 0..n.layers {
        let w = |i: usize| matrices[1 + layer * 7 + i].clone();
        let b = |i: usize| vectors[1 + layer * 5 + i].clone();
        let y = ops::rms_norm(x.clone(), b(0), 1e-6);
        let q = turn(split(ops::linear(y.clone(), w(0), Some(b(1))), n.heads));
        let k = turn(split(ops::linear(y.clone(), w(1), Some(b(2))), n.kv_heads));
        let v = split(ops::linear(y, w(2), Some(b(3))), n.kv_heads);
        let scale = 1.0 / (n.dim as f64).sqrt();
        let a = ops::causal_attention(q, k, v, starts.clone(), scale);
        x = x + ops::linear(a.reshape([rows, n.heads * n.dim]), w(3), None);
        let y = ops::rms_norm(x.clone(), b(4), 1e-6);
        let gated = ops::swiglu(ops::linear(y.clone(), w(4), None), ops::linear(y, w(5), None));
        x = x + ops::linear(gated, w(6), None);
    }
    let x = ops::rms_norm(x, vectors[0].clone(), 1e-6);
    ops::token_nll(x, embedding, ids).mean()
}

/// One step; returns the loss.
fn step(n: &Shape, model: &mut Model, number: u64) -> f64 {
    let matrices: Vec<_> = model.matrices.iter().map(Param::leaf).collect();
    let vectors: Vec<_> = model.vectors.iter().map(Param::leaf).collect();
    let loss = loss(n, &matrices, &vectors);
    let value = loss.clone().into_scalar::<f64>();
    let mut gradients = loss.backward();
    let matrices: Vec<_> = matrices.iter().map(|x| x.grad_remove(&mut gradients)).collect();
    let vectors: Vec<_> = vectors.iter().map(|x| x.grad_remove(&mut gradients)).collect();
    let squares: f64 = matrices.iter().flatten().map(ops::sum_of_squares).sum::<f64>()
        + vectors.iter().flatten().map(ops::sum_of_squares).sum::<f64>();
    let settings = AdamWStep {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        step: number,
        grad_scale: (0.5 / (squares.sqrt() + 1e-6)).min(1.0),
    };
    update(&mut model.matrices, matrices, &settings);
    update(&mut model.vectors, vectors, &settings);
    value
}

fn update<const D: usize>(
    params: &mut Vec<Param<D>>,
    gradients: Vec<Option<Tensor<D>>>,
    settings: &AdamWStep,
) {
    *params = std::mem::take(params)
        .into_iter()
        .zip(gradients)
        .map(|(param, gradient)| match gradient {
            Some(gradient) => {
                let (value, m, v) =
                    ops::adamw_step(param.value, gradient, param.m, param.v, settings);
                Param { value, m, v }
            }
            None => param,
        })
        .collect();
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    let small = Shape {
        layers: 4,
        hidden: 256,
        ffn: 1024,
        heads: 4,
        kv_heads: 4,
        dim: 64,
        batch: 8,
        time: 256,
    };
    let half = Shape {
        layers: 24,
        hidden: 896,
        ffn: 4864,
        heads: 14,
        kv_heads: 2,
        dim: 64,
        batch: 1,
        time: 1024,
    };
    for (name, shape, steps) in [("small", small, 8), ("half", half, 2)] {
        if !name.contains(&filter) {
            continue;
        }
        let mut model = model(&shape);
        let first = step(&shape, &mut model, 1);
        let mut best = f64::INFINITY;
        let mut last = first;
        for number in 2..2 + steps {
            let start = Instant::now();
            last = step(&shape, &mut model, number);
            best = best.min(start.elapsed().as_secs_f64());
        }
        let tokens = (shape.batch * shape.time) as f64;
        println!(
            "{name}: {:.0} tokens/s, {:.1} ms a step, loss {first:.4} -> {last:.4}",
            tokens / best,
            best * 1e3
        );
    }
}
