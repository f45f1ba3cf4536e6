//! What a run would come to on a GPU: tokens, loss and memory, before the day starts.
//!
//! This is arithmetic on a pipeline file: nothing is built, loaded or measured.

mod error;
mod gpu;
mod shape;

use std::time::Duration;

pub use error::PredictError;
pub use gpu::{ASSUMED_SHARE, GPUS, Gpu};
pub use shape::ModelShape;

/// The recipe: parameters and tokens of the paper's run on one A5000 in 24 hours.
pub const RECIPE: (f64, f64) = (358_347_904.0, 1.4e9);

/// Bytes of a GiB.
const GIB: f64 = (1u64 << 30) as f64;
/// The share of a GPU's memory that a run can have; the rest is the driver's, the kernels' and lost
/// between blocks.
const USABLE: f64 = 0.92;

/// Loss by the scaling law of speech language models (Cuervo & Marxer 2024):
/// `1.73 + 13.9 / N^0.25 + 39.8 / D^0.24`, nats a token, fitted on another tokeniser and other data: for
/// comparing runs, not a promise.
pub fn loss(parameters: f64, tokens: f64) -> f64 {
    1.73 + 13.9 / parameters.powf(0.25) + 39.8 / tokens.powf(0.24)
}

/// Parameters and tokens of the lowest loss that `6 N D` operations can buy by the same law.
pub fn optimum(operations: f64) -> (f64, f64) {
    let product = operations / 6.0;
    // The derivative along N D = product vanishes where 0.25 · 13.9 N^-0.25 = 0.24 · 39.8 D^-0.24.
    let ratio = (0.25 * 13.9) / (0.24 * 39.8);
    let parameters = (ratio * product.powf(0.24)).powf(1.0 / 0.49);
    (parameters, product / parameters)
}

/// How fast training goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Where the figure is from.
    pub basis: String,
}

impl Speed {
    /// A measured or wished speed of this very model.
    pub fn stated(tokens_per_second: f64) -> Self {
        Self { tokens_per_second, basis: "as stated".into() }
    }

    /// A run of another (or the same) model on the same kind of device, scaled by `6 N`.
    pub fn measured(run_tokens_per_second: f64, run_parameters: f64, shape: &ModelShape) -> Self {
        let tokens_per_second = run_tokens_per_second * run_parameters / shape.parameters as f64;
        Self {
            tokens_per_second,
            basis: format!(
                "measured: {run_tokens_per_second:.0} tokens/s of {:.1} M parameters, scaled by 6N",
                run_parameters / 1e6
            ),
        }
    }

    /// A share of a GPU's peak by `6 N`; the reported one where none is given.
    pub fn share_of_peak(gpu: &Gpu, share: Option<f64>, shape: &ModelShape) -> Self {
        let (share, from) = match share {
            Some(share) => (share, "as stated"),
            None => gpu.share(),
        };
        Self {
            tokens_per_second: share * gpu.bf16_tflops * 1e12 / (6.0 * shape.parameters as f64),
            basis: format!(
                "{:.1} % of {} TFLOP/s ({from}); not measured with this program",
                100.0 * share,
                gpu.bf16_tflops
            ),
        }
    }
}

/// How a step is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Tokens of a row.
    pub context: u64,
    /// Rows of an optimiser step.
    pub rows: u64,
    /// Rows computed at once.
    pub micro_rows: u64,
    /// Whether products are computed in bf16 (weights and optimiser state stay in f32).
    pub bf16: bool,
    /// Whether norms, rotations and activation functions are computed again in the backward pass.
    pub recompute: bool,
}

/// Bytes that training needs, by part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Weights in f32, gradients and AdamW's two moments, and bf16 copies of the weights.
    pub state: f64,
    /// What the backward pass keeps of each block.
    pub activations: f64,
    /// Attention scores, which are kept whole: there is no kernel yet that makes them anew.
    pub scores: f64,
    /// Logits and their gradient.
    pub logits: f64,
}

impl Memory {
    /// Reckons a step's memory from the tensors that the tape keeps: an estimate, which the allocator's
    /// blocks and temporary results exceed by some.
    pub fn of(shape: &ModelShape, step: &StepShape) -> Self {
        let (n, tokens) = (shape.parameters as f64, (step.micro_rows * step.context) as f64);
        let width = if step.bf16 { 2.0 } else { 4.0 };
        let (query, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        // Two norms with their inputs and the block's two sums; q, k, v before and behind the rotation,
        // the mixed heads; the feed-forward layer's inputs and results.
        let ffn = if shape.gated { 4 } else { 2 } * shape.ffn;
        let cheap = 2 * shape.hidden + query + kv + shape.ffn;
        let block =
            6 * shape.hidden + 3 * query + 3 * kv + ffn - if step.recompute { cheap } else { 0 };
        let scores = 3 * shape.heads * step.context;
        Self {
            state: n * (16.0 + if step.bf16 { 2.0 } else { 0.0 }),
            activations: width * tokens * (shape.layers * block) as f64,
            scores: width * tokens * (shape.layers * scores) as f64,
            logits: 2.0 * 4.0 * tokens * shape.vocab as f64,
        }
    }

    /// All of it, bytes.
    pub fn total(&self) -> f64 {
        self.state + self.activations + self.scores + self.logits
    }

    /// The most rows at once that fit into a GPU's memory, dividing the step's rows; 0 where not even one
    /// does.
    pub fn most_rows(shape: &ModelShape, step: &StepShape, memory_gib: f64) -> u64 {
        let fits = |rows: &u64| {
            let step = StepShape { micro_rows: *rows, ..*step };
            Self::of(shape, &step).total() <= USABLE * memory_gib * GIB
        };
        (1..=step.rows).rev().filter(|rows| step.rows.is_multiple_of(*rows)).find(fits).unwrap_or(0)
    }
}

/// How long pre-training lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// Until the time is up.
    Time(Duration),
    /// So many tokens.
    Tokens(f64),
}

/// What a run would come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The model.
    pub shape: ModelShape,
    /// How a step is computed.
    pub step: StepShape,
    /// How fast.
    pub speed: Speed,
    /// Tokens of pre-training.
    pub tokens: f64,
    /// Seconds of pre-training.
    pub seconds: f64,
    /// Memory of a step.
    pub memory: Memory,
}

impl Prediction {
    /// Predicts a run.
    ///
    /// # Errors
    /// If the speed or the extent is not positive.
    pub fn of(
        shape: ModelShape,
        step: StepShape,
        speed: Speed,
        extent: Extent,
    ) -> Result<Self, PredictError> {
        let positive = |x: f64, what| {
            if x.is_finite() && x > 0.0 { Ok(x) } else { Err(PredictError::NotPositive(what)) }
        };
        let rate = positive(speed.tokens_per_second, "the speed")?;
        let (tokens, seconds) = match extent {
            Extent::Time(time) => {
                let seconds = positive(time.as_secs_f64(), "the budget")?;
                (seconds * rate, seconds)
            }
            Extent::Tokens(tokens) => (positive(tokens, "the budget")?, tokens / rate),
        };
        let memory = Memory::of(&shape, &step);
        Ok(Self { shape, step, speed, tokens, seconds, memory })
    }

    /// Optimiser steps, were every row full.
    pub fn steps(&self) -> f64 {
        self.tokens / (self.step.rows * self.step.context) as f64
    }

    /// Operations by `6 N D`.
    pub fn operations(&self) -> f64 {
        6.0 * self.shape.parameters as f64 * self.tokens
    }

    /// The prediction in lines, for a GPU's memory where one is named.
    pub fn lines(&self, gpu: Option<&Gpu>) -> Vec<String> {
        let n = self.shape.parameters as f64;
        let (recipe_n, recipe_d) = RECIPE;
        let (best_n, best_d) = optimum(self.operations());
        let m = &self.memory;
        let mut lines = vec![
            format!("model        {} parameters", self.shape.parameters),
            format!(
                "speed        {:.0} tokens/s: {}",
                self.speed.tokens_per_second, self.speed.basis
            ),
            format!(
                "pre-training {} · {} tokens ({:.2} of the recipe's 1.4 B) · {:.0} steps of {} × {} tokens",
                hours(self.seconds),
                count(self.tokens),
                self.tokens / recipe_d,
                self.steps(),
                self.step.rows,
                self.step.context
            ),
            format!(
                "loss         {:.3} by the scaling law; the recipe's run {:.3}, the same compute at its optimum \
                 ({} parameters, {} tokens) {:.3}",
                loss(n, self.tokens),
                loss(recipe_n, recipe_d),
                count(best_n),
                count(best_d),
                loss(best_n, best_d)
            ),
            format!(
                "memory       {:.1} GiB at {} rows at once: {:.1} weights and optimiser, {:.1} activations, \
                 {:.1} attention scores, {:.1} logits (reckoned, not measured)",
                m.total() / GIB,
                self.step.micro_rows,
                m.state / GIB,
                m.activations / GIB,
                m.scores / GIB,
                m.logits / GIB
            ),
        ];
        if let Some(gpu) = gpu {
            let most = Memory::most_rows(&self.shape, &self.step, gpu.memory_gib);
            let fits = m.total() <= USABLE * gpu.memory_gib * GIB;
            lines.push(match (fits, most) {
                (true, _) => format!("fits         yes, {} has {} GiB", gpu.name, gpu.memory_gib),
                (false, 0) => format!(
                    "fits         NO: {} has {} GiB, too little even for one row; take a smaller model or context",
                    gpu.name, gpu.memory_gib
                ),
                (false, most) => format!(
                    "fits         NO: {} has {} GiB; add --set train.params.micro_rows={most} (the same steps, \
                     in more parts)",
                    gpu.name, gpu.memory_gib
                ),
            });
        }
        lines
    }
}

fn hours(seconds: f64) -> String {
    if seconds >= 3600.0 { format!("{:.1} h", seconds / 3600.0) } else { format!("{seconds:.0} s") }
}

/// A count with three digits and its unit.
fn count(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn recipe() -> ModelShape {
        let config = json!({"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
            "tie_word_embeddings": true});
        ModelShape::of(&config, Some(502)).unwrap()
    }

    const STEP: StepShape =
        StepShape { context: 1024, rows: 128, micro_rows: 8, bf16: true, recompute: false };

    #[test]
    fn the_papers_day_is_predicted_from_its_gpu() {
        let gpu = Gpu::named("A5000").unwrap();
        let speed = Speed::share_of_peak(&gpu, None, &recipe());
        let time = Extent::Time(Duration::from_secs_f64(23.5 * 3600.0));
        let p = Prediction::of(recipe(), STEP, speed, time).unwrap();
        assert!((p.tokens - 1.4e9).abs() < 0.03e9, "{}", p.tokens);
        // The paper took 17,625 steps with rows that were 60 % full.
        assert!((p.steps() - 1.4e9 / 131_072.0).abs() < 300.0, "{}", p.steps());
        let text = p.lines(Some(&gpu)).join("\n");
        assert!(text.contains("358347904") && text.contains("not measured"), "{text}");
        // Attention scores of 8 rows do not fit into 24 GiB while they are kept whole.
        assert!(text.contains("--set train.params.micro_rows="), "{text}");
    }

    #[test]
    fn the_law_gives_its_own_figures_and_the_optimum_is_one() {
        assert!((loss(RECIPE.0, RECIPE.1) - 2.0853).abs() < 1e-3, "{}", loss(RECIPE.0, RECIPE.1));
        let operations = 6.0 * RECIPE.0 * RECIPE.1;
        let (n, d) = optimum(operations);
        assert!((6.0 * n * d / operations - 1.0).abs() < 1e-9);
        for factor in [0.8, 1.25] {
            assert!(loss(n * factor, d / factor) > loss(n, d));
        }
        // The paper predicts 78 M for its day; the law's exponents are rounded here.
        assert!((40e6..100e6).contains(&n), "{n}");
    }

    #[test]
    fn a_measured_run_of_another_model_is_scaled_by_its_size() {
        let shape = recipe();
        let speed = Speed::measured(1000.0, 2.0 * shape.parameters as f64, &shape);
        assert!((speed.tokens_per_second - 2000.0).abs() < 1e-9);
        let p = Prediction::of(shape, STEP, speed, Extent::Tokens(4e6)).unwrap();
        assert!((p.seconds - 2000.0).abs() < 1e-9);
    }

    #[test]
    fn memory_grows_with_rows_and_the_most_rows_fit() {
        let shape = recipe();
        let most = Memory::most_rows(&shape, &STEP, 24.0);
        assert!((1..8).contains(&most), "{most}");
        let at = |micro_rows| Memory::of(&shape, &StepShape { micro_rows, ..STEP }).total();
        assert!(at(most) <= 24.0 * GIB && at(2 * most) > USABLE * 24.0 * GIB);
        assert_eq!(Memory::most_rows(&shape, &STEP, 4.0), 0);
        let again = Memory::of(&shape, &StepShape { recompute: true, ..STEP });
        let kept = Memory::of(&shape, &STEP);
        assert!(again.activations < 0.8 * kept.activations && again.state == kept.state);
    }

    #[test]
    fn no_speed_and_no_budget_are_refused() {
        let p = |speed, extent| Prediction::of(recipe(), STEP, Speed::stated(speed), extent);
        assert!(p(0.0, Extent::Tokens(1.0)).is_err() && p(f64::NAN, Extent::Tokens(1.0)).is_err());
        assert!(p(1.0, Extent::Time(Duration::ZERO)).is_err());
    }
}
