//! Learning rates as functions of the fraction of a run that is done.
//!
//! With `progress = step / steps` they are transformers' `cosine_with_min_lr` and `inverse_sqrt`; with the
//! fraction of a time budget they reach their end exactly when the time is up.

pub use slam_recipe::training::Shape;

/// A learning-rate schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The shape.
    pub shape: Shape,
    /// The highest rate.
    pub peak_lr: f64,
    /// The rate a cosine ends at.
    pub min_lr: f64,
    /// The share of the run that the warm-up takes.
    pub warmup: f64,
}

impl Schedule {
    /// The rate at a fraction of the run, 0 to 1.
    pub fn lr(&self, progress: f64) -> f64 {
        let p = progress.clamp(0.0, 1.0);
        if p < self.warmup {
            return self.peak_lr * p / self.warmup;
        }
        match self.shape {
            Shape::Cosine => {
                let q = (p - self.warmup) / (1.0 - self.warmup).max(f64::MIN_POSITIVE);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * q).cos());
                self.min_lr + (self.peak_lr - self.min_lr) * cosine
            }
            Shape::InverseSqrt if self.warmup > 0.0 => self.peak_lr * (self.warmup / p).sqrt(),
            Shape::InverseSqrt | Shape::Constant => self.peak_lr,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn schedules_equal_those_of_transformers() {
        let root = std::env::var_os("SLAM_FIXTURES").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
            PathBuf::from,
        );
        let text = std::fs::read_to_string(root.join("training/schedules.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let steps = json["steps"].as_f64().unwrap();
        let warmup = json["warmup"].as_f64().unwrap() / steps;
        let peak_lr = json["peak_lr"].as_f64().unwrap();
        for (name, shape) in
            [("cosine_with_min_lr_5e-5", Shape::Cosine), ("inverse_sqrt", Shape::InverseSqrt)]
        {
            let schedule = Schedule { shape, peak_lr, min_lr: 5e-5, warmup };
            for (step, expected) in json[name].as_array().unwrap().iter().enumerate() {
                let lr = schedule.lr(step as f64 / steps);
                let expected = expected.as_f64().unwrap();
                assert!((lr - expected).abs() <= 1e-12, "{name} step {step}: {lr} != {expected}");
            }
        }
    }

    #[test]
    fn a_cosine_ends_at_its_minimum() {
        let s = Schedule { shape: Shape::Cosine, peak_lr: 1.0, min_lr: 0.05, warmup: 0.01 };
        assert!((s.lr(1.0) - 0.05).abs() < 1e-12 && (s.lr(0.01) - 1.0).abs() < 1e-12);
        assert_eq!(s.lr(0.0), 0.0);
    }
}
