//! Pairs in rows of tokens, each prompt laid down once.
//!
//! The attention kernel lets a query see one stretch of keys. Chosen and rejected must both see the prompt
//! and neither the other, so a pair lies as
//!
//! ```text
//! chosen, backwards | prompt | rejected
//! ```
//!
//! A chosen token sees from itself to the prompt's end, a rejected one from the prompt's begin to itself:
//! one stretch each. Rotary and learned positions go with the tokens, so that the result is that of two
//! separate sequences. The prompt's last token predicts two different tokens; each side has a copy of it.

use burn::tensor::{Device, Int, Tensor, TensorData};
use slam_lm::{Decoder, PAD, TokenBatch};

use super::pairs::{Pair, Side};

/// A row that is being filled.
#[derive(Clone, Debug, Default)]
struct Row {
    ids: Vec<i64>,
    positions: Vec<i64>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    targets: Vec<i64>,
}

impl Row {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn push(&mut self, id: u32, position: usize, sees: (usize, usize), target: i64) {
        self.ids.push(i64::from(id));
        self.positions.push(position as i64);
        self.starts.push(sees.0 as i64);
        self.ends.push(sees.1 as i64);
        self.targets.push(target);
    }

    /// Lays a pair down; returns where the predictions of each side stand.
    fn add(&mut self, pair: &Pair) -> [Vec<usize>; 2] {
        match pair.shared_prompt() {
            Some(prompt) => self.add_shared(pair, prompt),
            None => [0, 1].map(|side| self.add_alone(&pair.sides[side])),
        }
    }

    fn add_shared(&mut self, pair: &Pair, prompt: usize) -> [Vec<usize>; 2] {
        let [chosen, rejected] = &pair.sides;
        // The copy of the prompt's last token, and all tokens but the last, which predicts nothing.
        let predictors = |side: &Side| side.tokens.len() - prompt;
        let begin = self.len() + predictors(chosen);
        let end = begin + prompt - 1;
        let mut places = [Vec::new(), Vec::new()];
        for i in (prompt - 1..chosen.tokens.len() - 1).rev() {
            let at = self.len();
            places[0].push(at);
            self.push(chosen.tokens[i], i, (at, end), i64::from(chosen.tokens[i + 1]));
        }
        for i in 0..prompt - 1 {
            self.push(chosen.tokens[i], i, (begin, self.len() + 1), -1);
        }
        for i in prompt - 1..rejected.tokens.len() - 1 {
            let at = self.len();
            places[1].push(at);
            self.push(rejected.tokens[i], i, (begin, at + 1), i64::from(rejected.tokens[i + 1]));
        }
        places
    }

    fn add_alone(&mut self, side: &Side) -> Vec<usize> {
        let begin = self.len();
        let mut places = Vec::new();
        for i in 0..side.tokens.len() - 1 {
            let at = self.len();
            let counts = i + 1 >= side.first;
            if counts {
                places.push(at);
            }
            let target = if counts { i64::from(side.tokens[i + 1]) } else { -1 };
            self.push(side.tokens[i], i, (begin, at + 1), target);
        }
        places
    }

    fn pad(&mut self, time: usize) {
        while self.len() < time {
            let at = self.len();
            self.push(PAD, 0, (at, at + 1), -1);
        }
    }
}

/// Tokens that a pair takes in a row.
pub(super) fn row_tokens(pair: &Pair) -> usize {
    let [a, b] = &pair.sides;
    match pair.shared_prompt() {
        Some(prompt) => a.tokens.len() + b.tokens.len() - prompt - 1,
        None => a.tokens.len() + b.tokens.len() - 2,
    }
}

/// A batch of pairs on the host.
struct Laid {
    rows: Vec<Row>,
    /// Where each pair's chosen and rejected predictions stand: the row and the places in it.
    places: Vec<(usize, [Vec<usize>; 2])>,
}

/// Puts pairs into rows, the longest first, each into the first row with room: hardly any padding. A row
/// holds at least `ROW_TOKENS`, and the longest pair.
fn lay(pairs: &[&Pair]) -> Laid {
    /// Long enough to fill rows well, short enough for several rows in a small batch.
    const ROW_TOKENS: usize = 1024;
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(row_tokens(pairs[i])), i));
    let longest = order.first().map_or(0, |&i| row_tokens(pairs[i]));
    let room = longest.max(ROW_TOKENS);
    let mut rows: Vec<Row> = Vec::new();
    let mut places = vec![(0, [Vec::new(), Vec::new()]); pairs.len()];
    for i in order {
        let needed = row_tokens(pairs[i]);
        let row = rows.iter().position(|r| r.len() + needed <= room).unwrap_or_else(|| {
            rows.push(Row::default());
            rows.len() - 1
        });
        places[i] = (row, rows[row].add(pairs[i]));
    }
    let time = rows.iter().map(Row::len).max().unwrap_or(0);
    for row in &mut rows {
        row.pad(time);
    }
    Laid { rows, places }
}

/// Sums of log-probabilities of the continuations' tokens, in nats: chosen and rejected.
///
/// # Shapes
/// - both results: `[pairs]`
pub(super) fn log_probs(model: &Decoder, pairs: &[&Pair], device: &Device) -> [Tensor<1>; 2] {
    let Laid { rows, places } = lay(pairs);
    let time = rows.first().map_or(0, Row::len);
    let shape = [rows.len(), time];
    let integers = |field: fn(&Row) -> &[i64]| -> Tensor<2, Int> {
        let values: Vec<i64> = rows.iter().flat_map(field).copied().collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    let batch = TokenBatch {
        input_ids: integers(|r| &r.ids),
        positions: integers(|r| &r.positions),
        starts: integers(|r| &r.starts),
        ends: Some(integers(|r| &r.ends)),
    };
    let nll = model.token_nll(&batch, integers(|r| &r.targets)).reshape([rows.len() * time]);
    [0, 1].map(|side| {
        let longest = places.iter().map(|(_, p)| p[side].len()).max().unwrap_or(0);
        let shape = [places.len(), longest];
        let (mut index, mut mask) = (Vec::new(), Vec::new());
        for (row, places) in &places {
            let used = places[side].len();
            index.extend(places[side].iter().map(|at| (row * time + at) as i64));
            index.resize(index.len() + longest - used, 0);
            mask.resize(mask.len() + used, -1.0f32);
            mask.resize(mask.len() + longest - used, 0.0);
        }
        let index =
            Tensor::<1, Int>::from_data(TensorData::new(index, [shape[0] * longest]), device);
        let mask = Tensor::<2>::from_data(TensorData::new(mask, shape), device);
        (nll.clone().select(0, index).reshape(shape) * mask).sum_dim(1).reshape([shape[0]])
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use slam_lm::DecoderConfig;
    use slam_lm::batch::next_tokens;
    use slam_nn::params::Parameters;

    fn model(family: &str) -> Decoder {
        let json = serde_json::json!({
            "model_type": family, "hidden_size": 16, "intermediate_size": 24, "ffn_dim": 24,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "tie_word_embeddings": true, "hidden_act": "silu", "initializer_range": 0.3,
            "vocab_size": 32, "word_embed_proj_dim": 16, "do_layer_norm_before": true,
        });
        Decoder::random(&DecoderConfig::from_json(&json).unwrap(), 1, &Device::flex()).unwrap()
    }

    fn pair(prompt: usize, chosen: usize, rejected: usize, shared: bool) -> Pair {
        let token = |i: usize| 2 + (i * 7 % 30) as u32;
        let side = |salt: usize, length: usize| {
            let mut tokens: Vec<u32> = (0..prompt).map(token).collect();
            if !shared {
                tokens[0] = token(salt);
            }
            tokens.extend((0..length).map(|i| token(i * 3 + salt)));
            Side { tokens, first: prompt }
        };
        Pair { id: String::new(), sides: [side(5, chosen), side(11, rejected)] }
    }

    /// Log-probabilities with each side as a sequence of its own.
    fn separate(model: &Decoder, pairs: &[&Pair], device: &Device) -> [Tensor<1>; 2] {
        [0, 1].map(|side| {
            let sums = pairs.iter().map(|p| {
                let Side { tokens, first } = &p.sides[side];
                let rows = vec![vec![tokens.as_slice()]];
                let batch = TokenBatch::packed(&rows, device);
                let nll = model.token_nll(&batch, next_tokens(&rows, device));
                -nll.narrow(1, first - 1, tokens.len() - first).sum()
            });
            Tensor::cat(sums.collect(), 0)
        })
    }

    fn pairs() -> [Pair; 5] {
        [
            pair(7, 5, 9, true),
            pair(1, 3, 1, true),
            pair(20, 1, 12, true),
            pair(4, 6, 2, false),
            pair(1, 6, 2, false),
        ]
    }

    fn close(what: &str, got: &[f64], want: &[f64], scale: f64) {
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= 1e-5 * scale, "{what}: {g}, apart {w} (scale {scale})");
        }
    }

    #[test]
    fn a_shared_prompt_gives_what_two_sequences_give_and_so_do_its_gradients() {
        type Form = fn(&Decoder, &[&Pair], &Device) -> [Tensor<1>; 2];
        let device = Device::flex().autodiff();
        for family in ["qwen2", "opt"] {
            let mut model = model(family).to_device(&device);
            model.for_each_param_mut(&mut |_, p| p.make_leaf());
            let pairs = pairs();
            let pairs: Vec<&Pair> = pairs.iter().collect();
            assert_eq!(pairs.iter().filter(|p| p.shared_prompt().is_some()).count(), 3);
            let run = |form: Form| {
                let sums = form(&model, &pairs, &device);
                let values = sums.clone().map(|t| t.into_data().iter::<f64>().collect::<Vec<_>>());
                let [chosen, rejected] = sums;
                let mut gradients = (chosen - rejected * 0.5).sum().backward();
                let mut all: Vec<Vec<f64>> = Vec::new();
                model.for_each_param(&mut |_, p| {
                    let gradient = p.take_gradient(&mut gradients).map(Tensor::into_data);
                    all.push(gradient.map(|d| d.iter::<f64>().collect()).unwrap_or_default());
                });
                (values, all)
            };
            let ((values, gradients), (apart, apart_gradients)) = (run(log_probs), run(separate));
            for (got, want) in values.iter().zip(&apart) {
                close(family, got, want, 10.0);
            }
            assert!(gradients.iter().any(|g| g.iter().any(|v| v.abs() > 0.1)));
            for (got, want) in gradients.iter().zip(&apart_gradients) {
                let scale = want.iter().fold(0.1f64, |m, v| m.max(v.abs()));
                close(family, got, want, scale);
            }
        }
    }

    proptest! {
        #[test]
        fn every_prediction_has_its_place_and_no_row_is_over_full(
            lengths in prop::collection::vec((1usize..40, 1usize..60, 1usize..60, any::<bool>()), 1..30),
        ) {
            let pairs: Vec<Pair> = lengths.iter().map(|&(p, c, r, s)| pair(p, c, r, s)).collect();
            let pairs: Vec<&Pair> = pairs.iter().collect();
            let laid = lay(&pairs);
            let time = laid.rows[0].len();
            prop_assert!(time <= 1024);
            let mut used = vec![vec![false; time]; laid.rows.len()];
            for (pair, (row, places)) in pairs.iter().zip(&laid.places) {
                for (side, places) in pair.sides.iter().zip(places) {
                    prop_assert_eq!(places.len(), side.tokens.len() - side.first);
                    for &at in places {
                        prop_assert!(!used[*row][at] && laid.rows[*row].targets[at] >= 0);
                        used[*row][at] = true;
                    }
                }
            }
            for (row, used) in laid.rows.iter().zip(used) {
                prop_assert_eq!(row.len(), time);
                for (i, used) in used.into_iter().enumerate() {
                    prop_assert_eq!(used, row.targets[i] >= 0);
                    prop_assert!(row.starts[i] <= i as i64 && (i as i64) < row.ends[i]);
                }
            }
        }
    }
}
