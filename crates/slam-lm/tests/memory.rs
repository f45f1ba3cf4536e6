//! What loading a checkpoint and computing a loss hold at most.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Int, Tensor, TensorData};
use slam_lm::{Decoder, DecoderConfig};
use slam_nn::ops;
use slam_nn::weights::write_safetensors;
use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is allocated: how much memory the kernel lends for it depends on when the allocator gives freed
/// memory back.
struct Counted(mimalloc::MiMalloc);

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the allocator inside as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        // SAFETY: what the caller promises of the arguments goes for the allocator inside too.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: what the caller promises of the arguments goes for the allocator inside too.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted(mimalloc::MiMalloc);

/// The result, and how much more was allocated at most meanwhile than before.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    (result, MOST.load(Relaxed) - before)
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    1024 * line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// The result, and by how many bytes the process grew at most meanwhile, by the kernel's count; `None` where it
/// does not let the mark be set back.
fn peak<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let before = status("VmRSS");
    let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let result = work();
    let grown = status("VmHWM").saturating_sub(before);
    if !reset {
        eprintln!("SKIPPED: /proc/self/clear_refs can't be written, so no peak is known");
    }
    (result, reset.then_some(grown))
}

/// A checkpoint of 600 MB, many times its largest tensor, written a tensor at a time.
fn write(folder: &Path) -> DecoderConfig {
    let config = DecoderConfig::qwen2(502, 896, 4864, 10, 14, 2, 2048);
    fs::write(folder.join("config.json"), config.to_json().to_string()).unwrap();
    let mut shapes = Vec::new();
    let mut tensor = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    tensor("model.embed_tokens.weight", &[502, 896]);
    tensor("model.norm.weight", &[896]);
    for layer in 0..config.num_layers {
        let mut part = |part: &str, shape: &[usize]| {
            tensor(&format!("model.layers.{layer}.{part}"), shape);
        };
        for (name, rows) in [("q", 896), ("k", 128), ("v", 128)] {
            part(&format!("self_attn.{name}_proj.weight"), &[rows, 896]);
            part(&format!("self_attn.{name}_proj.bias"), &[rows]);
        }
        part("self_attn.o_proj.weight", &[896, 896]);
        part("mlp.gate_proj.weight", &[4864, 896]);
        part("mlp.up_proj.weight", &[4864, 896]);
        part("mlp.down_proj.weight", &[896, 4864]);
        part("input_layernorm.weight", &[896]);
        part("post_attention_layernorm.weight", &[896]);
    }
    let len = |name: &str| -> usize {
        shapes.iter().find(|(n, _)| n == name).unwrap().1.iter().product()
    };
    write_safetensors(&folder.join("model.safetensors"), &shapes, &mut |name| {
        vec![0.01; len(name)]
    })
    .unwrap();
    config
}

/// One test: the marks are the process's.
#[test]
fn loading_holds_the_model_once_and_the_loss_never_all_logits() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path());
    let size = fs::metadata(folder.path().join("model.safetensors")).unwrap().len();
    assert!(size >= 590_000_000, "{size}");
    let ((model, grown), most) =
        allocated(|| peak(|| Decoder::load(folder.path(), &Device::flex()).unwrap()));
    let share = |bytes: u64| bytes as f64 / size as f64;
    let most = share(most as u64);
    assert!(most < 1.02, "loading allocated {most:.3} of the checkpoint's size");
    assert_eq!(model.config(), &config);
    // With the part of the file that is mapped at a time, and what the allocator rounds up.
    if let Some(grown) = grown {
        let share = share(grown);
        assert!((0.9..=1.3).contains(&share), "loading took {share:.3} of the checkpoint's size");
    }
    drop(model);

    // All logits would be 400 MB, and their gradient as much again.
    let most = loss_peak(1024, 100_000, ops::token_nll);
    assert!(most < 100 << 20, "the loss took {} MB", most >> 20);
    // Of Burn's own operations (other devices, bf16) the backward pass keeps all logits once, never twice.
    let (rows, vocab) = (4096, 12_500);
    let most = loss_peak(rows, vocab, ops::reference::token_nll);
    let share = most as f64 / (4 * rows * vocab) as f64;
    assert!(share < 1.6, "the loss took {share:.2} of all logits");
}

type Loss = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>;

/// What a loss over so many rows and its gradient allocate at most.
fn loss_peak(rows: usize, vocab: usize, token_nll: Loss) -> usize {
    let hidden = 8;
    let device = Device::flex().autodiff();
    let values = |rows: usize| -> Tensor<2> {
        let values = (0..rows * hidden).map(|i| (i % 13) as f32 * 0.1).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(values, [rows, hidden]), &device).require_grad()
    };
    let (x, head) = (values(rows), values(vocab));
    let targets: Vec<i64> = (0..rows as i64).map(|i| i * 97 % vocab as i64).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device);
    let (grad, most) = allocated(|| {
        let loss = token_nll(x.clone(), head.clone(), targets).sum();
        let grads = loss.backward();
        x.grad(&grads).unwrap()
    });
    assert_eq!(grad.dims(), [rows, hidden]);
    most
}
