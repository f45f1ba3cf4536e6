//! A model's parameters out of a checkpoint's tensors.

use super::origin::{Naming, Origin, Row};
use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::layers::Source;
use crate::names::{Names, names};
use crate::random::Random;
use crate::{FIRST_UNIT, LmError, Rng};
use burn::tensor::{Device, Tensor, TensorData};
use slam_nn::weights::Weights;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a table that are read at a time for its moments.
const ROWS: usize = 4096;

/// How a model is made of a checkpoint.
pub(super) struct Fit<'a> {
    pub(super) device: &'a Device,
    /// The model to make.
    pub(super) config: &'a DecoderConfig,
    /// Where its tensors are.
    pub(super) origin: &'a Origin,
    /// Whether a head that the checkpoint lacks starts as the embedding's copy.
    pub(super) copy_head: bool,
    /// Names of tensors that may be missing, unexpected or of another shape.
    pub(super) allow: &'a [String],
    /// Seed of rows and tensors that the checkpoint does not have.
    pub(super) seed: u64,
}

impl Fit<'_> {
    fn allows(&self, name: &str) -> bool {
        self.allow.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == allowed,
        })
    }

    /// Makes the model, if names and shapes fit. Nothing is read or allocated before all of them
    /// are known to.
    pub(super) fn decoder(&self, weights: &Weights) -> Result<Decoder, LmError> {
        let stored = self.origin.names(weights.names());
        let names = names(self.config.family);
        let mut wanted = Shapes(Vec::new());
        Decoder::build(self.config, &mut wanted, self.device)?;
        let mut unexpected: BTreeSet<&String> = stored.keys().collect();
        let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
        let mut drawn = BTreeSet::new();
        for (name, mut shape) in wanted.0 {
            let from = self.stored_as(&name, &stored, &names);
            unexpected.remove(&from);
            if from == names.embedding || from == names.head {
                shape[0] = self.origin.stored_vocab;
            }
            let found = stored.get(&from).and_then(|name| weights.shape(name));
            if found == Some(&shape[..]) {
                continue;
            }
            let allowed = self.allows(&name) || stored.get(&from).is_some_and(|s| self.allows(s));
            match found {
                _ if allowed => drop(drawn.insert(name)),
                None => missing.push(name),
                Some(found) => misshapen.push(format!("{name} {found:?}, not {shape:?}")),
            }
        }
        let unexpected: Vec<String> = unexpected
            .into_iter()
            // A tied head may be stored too, and buffers of older versions are recomputed.
            .filter(|name| !(is_buffer(name) || self.config.tie_embeddings && **name == names.head))
            .filter(|name| !self.allows(name))
            .filter_map(|name| stored.get(name))
            .filter(|name| !self.allows(name))
            .cloned()
            .collect();
        if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
            let path = weights.path().to_owned();
            return Err(LmError::Tensors { path, missing, unexpected, misshapen });
        }
        let random = Random::new(self.config, self.seed, self.device);
        let mut source = FromWeights { fit: self, weights, names, stored, drawn, random };
        Decoder::build(self.config, &mut source, self.device)
    }

    /// The model's name of the stored tensor that a parameter comes from.
    fn stored_as(&self, name: &str, stored: &BTreeMap<String, String>, names: &Names) -> String {
        let absent = |name: &str| !stored.contains_key(name);
        // slm_scaling keeps one of the two names of its tied tensor.
        let tied = self.origin.naming == Naming::SlmScaling;
        if name == names.head && self.copy_head && absent(name) {
            names.embedding.to_owned()
        } else if name == names.embedding && tied && absent(name) {
            names.head.to_owned()
        } else {
            name.to_owned()
        }
    }
}

fn is_buffer(name: &str) -> bool {
    [".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// Notes names and shapes and makes nothing.
struct Shapes(Vec<(String, Vec<usize>)>);

impl Source for Shapes {
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LmError> {
        self.0.push((name.to_owned(), vec![len]));
        Ok(Tensor::zeros([1], &Device::flex()))
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, LmError> {
        self.0.push((name.to_owned(), shape.to_vec()));
        Ok(Tensor::zeros([1, 1], &Device::flex()))
    }
}

struct FromWeights<'a> {
    fit: &'a Fit<'a>,
    weights: &'a Weights,
    names: Names,
    stored: BTreeMap<String, String>,
    /// Parameters that the checkpoint may lack and does.
    drawn: BTreeSet<String>,
    random: Random<'a>,
}

impl FromWeights<'_> {
    fn stored(&self, name: &str) -> (&str, bool) {
        let from = self.fit.stored_as(name, &self.stored, &self.names);
        let table = from == self.names.embedding || from == self.names.head;
        (self.stored.get(&from).map_or("", String::as_str), table)
    }

    /// A table with a row for each of our tokens.
    fn table(&self, stored: &str, [rows, width]: [usize; 2]) -> Result<Vec<f32>, LmError> {
        let old = self.fit.origin.stored_vocab;
        let mut values = Vec::with_capacity(rows * width);
        let Some(map) = &self.fit.origin.rows else {
            self.weights.matrix_rows(stored, 0..rows.min(old), &mut values)?;
            if rows > old {
                let moments = self.moments(stored, 0..old, width)?;
                let mut rng = Rng::named(self.fit.seed, "added embedding rows");
                for _ in old..rows {
                    let value = |(mean, sd): &(f64, f64)| (mean + sd * rng.normal()) as f32;
                    values.extend(moments.iter().map(value));
                }
            }
            return Ok(values);
        };
        for row in map.iter().take(rows) {
            match row {
                Row::Of(row) => self.weights.matrix_rows(stored, *row..row + 1, &mut values)?,
                Row::MeanOfUnits => {
                    let first = map.get(FIRST_UNIT as usize);
                    let first = if let Some(Row::Of(row)) = first { *row } else { 0 };
                    let moments = self.moments(stored, first..old, width)?;
                    values.extend(moments.iter().map(|(mean, _)| *mean as f32));
                }
            }
        }
        Ok(values)
    }

    /// Each column's mean, and the deviation of what is added to it in new rows.
    fn moments(
        &self,
        stored: &str,
        rows: std::ops::Range<usize>,
        width: usize,
    ) -> Result<Vec<(f64, f64)>, LmError> {
        let mut sums = vec![(0.0f64, 0.0f64); width];
        let count = rows.len().max(1) as f64;
        // The mean first: squares of small deviations are lost in squares of large values.
        for pass in 0..2 {
            for start in rows.clone().step_by(ROWS) {
                let mut values = Vec::new();
                let piece = start..rows.end.min(start + ROWS);
                self.weights.matrix_rows(stored, piece, &mut values)?;
                for row in values.chunks_exact(width) {
                    for ((mean, squares), value) in sums.iter_mut().zip(row) {
                        match pass {
                            0 => *mean += f64::from(*value) / count,
                            _ => *squares += (f64::from(*value) - *mean).powi(2) / count,
                        }
                    }
                }
            }
        }
        Ok(sums.into_iter().map(|(mean, variance)| (mean, (variance * 1e-9).sqrt())).collect())
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LmError> {
        let (stored, table) = self.stored(name);
        if let (true, &[rows, width]) = (table, shape) {
            return self.table(stored, [rows, width]);
        }
        let values = self.weights.tensor_shaped(stored, shape)?;
        let rotated = name.contains(".q_proj.") || name.contains(".k_proj.");
        if self.fit.origin.naming == Naming::SlmScaling && rotated {
            return Ok(halves(&values, self.fit.config.head_dim, shape[1]));
        }
        Ok(values)
    }
}

impl Source for FromWeights<'_> {
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LmError> {
        if self.drawn.contains(name) {
            return self.random.vector(name, len);
        }
        let values = self.values(name, &[len])?;
        Ok(Tensor::from_data(TensorData::new(values, [len]), self.fit.device))
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, LmError> {
        if self.drawn.contains(name) {
            return self.random.matrix(name, shape);
        }
        let values = self.values(name, &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.fit.device))
    }
}

/// Rows of each head in pairs (rotated with their neighbour) to rows in halves (rotated with the
/// one half a head away), as transformers converts Meta's Llama.
fn halves(values: &[f32], head_dim: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * width) {
        for half in 0..2 {
            for pair in 0..head_dim / 2 {
                out.extend_from_slice(&head[(2 * pair + half) * width..][..width]);
            }
        }
    }
    out
}
