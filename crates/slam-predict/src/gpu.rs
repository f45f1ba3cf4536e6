//! What GPUs are able to do, by their makers' data sheets.

/// A GPU's data sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The name that `--gpu` takes.
    pub name: &'static str,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Peak of dense bf16 products accumulated in f32, TFLOP/s (not the figure with sparsity).
    pub bf16_tflops: f64,
    /// The share of the peak that training a decoder of this size reached, as others report it; `None`
    /// where this project knows of no report.
    pub reported_share: Option<(f64, &'static str)>,
}

/// What the paper's run implies: 16.5 k tokens/s of 358 M parameters by 6N, over 111 TFLOP/s.
const PAPER: (f64, &str) = (0.32, "implied by the paper's run on one A5000");
/// slm_scaling's own report.
const SCALING: (f64, &str) = (0.436, "reported by slm_scaling on one A100-80 at 309 M parameters");

/// The share that is assumed where nobody reports one.
pub const ASSUMED_SHARE: (f64, &str) =
    (0.32, "assumed: the share that the paper's run on one A5000 implies");

/// All GPUs that are known by name.
pub const GPUS: [Gpu; 13] = [
    gpu("a5000", 24.0, 111.1, Some(PAPER)),
    gpu("a6000", 48.0, 154.8, None),
    gpu("a40", 48.0, 149.7, None),
    gpu("a100-40", 40.0, 312.0, Some(SCALING)),
    gpu("a100", 80.0, 312.0, Some(SCALING)),
    gpu("h100", 80.0, 989.4, None),
    gpu("h100-pcie", 80.0, 756.0, None),
    gpu("h200", 141.0, 989.4, None),
    gpu("l4", 24.0, 121.0, None),
    gpu("l40s", 48.0, 362.0, None),
    gpu("rtx3090", 24.0, 71.0, None),
    gpu("rtx4090", 24.0, 165.2, None),
    gpu("b200", 180.0, 2250.0, None),
];

const fn gpu(
    name: &'static str,
    memory_gib: f64,
    bf16_tflops: f64,
    reported_share: Option<(f64, &'static str)>,
) -> Gpu {
    Gpu { name, memory_gib, bf16_tflops, reported_share }
}

impl Gpu {
    /// A GPU by its name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        GPUS.into_iter().find(|g| g.name == name)
    }

    /// The share of the peak to reckon with, and where it is from.
    pub fn share(&self) -> (f64, &'static str) {
        self.reported_share.unwrap_or(ASSUMED_SHARE)
    }
}
