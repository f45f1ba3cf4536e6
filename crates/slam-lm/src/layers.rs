//! The decoder's block: attention, feed-forward and norms, with the families as options.

use crate::LmError;
use crate::config::{Activation, DecoderConfig, Family};
use crate::rope::Rope;
use burn::tensor::{Int, Tensor, activation};
use slam_nn::ops;
use slam_nn::params::{Parameter, Parameters};

/// Gives a parameter by name and shape: from a file, or random.
pub(crate) trait Source {
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LmError>;
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, LmError>;
}

#[derive(Clone, Debug)]
pub(crate) struct Linear {
    name: String,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Linear {
    pub(crate) fn new(
        source: &mut dyn Source,
        name: String,
        [output, input]: [usize; 2],
        bias: bool,
    ) -> Result<Self, LmError> {
        let weight = source.matrix(&format!("{name}.weight"), [output, input])?;
        let bias = if bias { Some(source.vector(&format!("{name}.bias"), output)?) } else { None };
        Ok(Self { name, weight, bias })
    }

    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, self.weight.clone(), self.bias.clone())
    }
}

impl Parameters for Linear {
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Parameter)) {
        f(&format!("{}.weight", self.name), &mut self.weight);
        if let Some(bias) = &mut self.bias {
            f(&format!("{}.bias", self.name), bias);
        }
    }
}

/// RMSNorm where there is no bias, layer norm where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    name: String,
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    eps: f64,
}

impl Norm {
    pub(crate) fn new(
        source: &mut dyn Source,
        name: String,
        config: &DecoderConfig,
    ) -> Result<Self, LmError> {
        let rms = matches!(config.family, Family::Qwen2 | Family::Llama);
        let weight = source.vector(&format!("{name}.weight"), config.hidden_size)?;
        let bias = if rms {
            None
        } else {
            Some(source.vector(&format!("{name}.bias"), config.hidden_size)?)
        };
        Ok(Self { name, weight, bias, eps: config.norm_eps })
    }

    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            None => ops::rms_norm(x, self.weight.clone(), self.eps),
            Some(bias) => ops::layer_norm(x, self.weight.clone(), bias.clone(), self.eps),
        }
    }
}

impl Parameters for Norm {
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Parameter)) {
        f(&format!("{}.weight", self.name), &mut self.weight);
        if let Some(bias) = &mut self.bias {
            f(&format!("{}.bias", self.name), bias);
        }
    }
}

/// Query, key and value projections.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a block, and the large variant is the common one"
)]
enum Qkv {
    Separate(Linear, Linear, Linear),
    /// GPT-NeoX: one matrix, each head's query, key and value rows behind each other.
    Fused(Linear),
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a block, and the large variant is the common one"
)]
enum Mlp {
    Gated { gate: Linear, up: Linear, down: Linear },
    Plain { up: Linear, down: Linear },
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    attention_norm: Norm,
    qkv: Qkv,
    out: Linear,
    mlp_norm: Norm,
    mlp: Mlp,
    shape: BlockShape,
}

#[derive(Clone, Copy, Debug)]
struct BlockShape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    activation: Activation,
    pre_norm: bool,
    parallel: bool,
}

/// Where the tokens of a forward pass stand and which keys they see.
pub(crate) enum Visible<'a> {
    /// Whole rows: each token sees its segment up to itself, or up to `ends`.
    Segments { starts: &'a Tensor<2, Int>, ends: Option<&'a Tensor<2, Int>> },
    /// New tokens behind a cache of keys and values.
    Cache { slots: &'a Tensor<2, Int>, visible: &'a Tensor<2, Int>, layer: &'a mut LayerCache },
}

/// A layer's keys and values `[batch, capacity, kv_heads, head_dim]`; `None` while being changed.
#[derive(Clone, Debug)]
pub(crate) struct LayerCache {
    pub(crate) keys: Option<Tensor<4>>,
    pub(crate) values: Option<Tensor<4>>,
}

impl Block {
    pub(crate) fn new(
        source: &mut dyn Source,
        prefix: &str,
        c: &DecoderConfig,
    ) -> Result<Self, LmError> {
        let (hidden, inner) = (c.hidden_size, c.intermediate_size);
        let (q, kv) = (c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim);
        let name = |part: &str| format!("{prefix}.{part}");
        let mut linear =
            |part: &str, shape, bias| Linear::new(&mut *source, name(part), shape, bias);
        let (qkv, out, mlp, norms);
        if c.family == Family::GptNeox {
            qkv = Qkv::Fused(linear("attention.query_key_value", [3 * q, hidden], c.qkv_bias)?);
            out = linear("attention.dense", [hidden, q], c.out_bias)?;
            mlp = Mlp::Plain {
                up: linear("mlp.dense_h_to_4h", [inner, hidden], c.mlp_bias)?,
                down: linear("mlp.dense_4h_to_h", [hidden, inner], c.mlp_bias)?,
            };
            norms = ["input_layernorm", "post_attention_layernorm"];
        } else {
            qkv = Qkv::Separate(
                linear("self_attn.q_proj", [q, hidden], c.qkv_bias)?,
                linear("self_attn.k_proj", [kv, hidden], c.qkv_bias)?,
                linear("self_attn.v_proj", [kv, hidden], c.qkv_bias)?,
            );
            if c.family == Family::Opt {
                out = linear("self_attn.out_proj", [hidden, q], c.out_bias)?;
                mlp = Mlp::Plain {
                    up: linear("fc1", [inner, hidden], c.mlp_bias)?,
                    down: linear("fc2", [hidden, inner], c.mlp_bias)?,
                };
                norms = ["self_attn_layer_norm", "final_layer_norm"];
            } else {
                out = linear("self_attn.o_proj", [hidden, q], c.out_bias)?;
                mlp = Mlp::Gated {
                    gate: linear("mlp.gate_proj", [inner, hidden], c.mlp_bias)?,
                    up: linear("mlp.up_proj", [inner, hidden], c.mlp_bias)?,
                    down: linear("mlp.down_proj", [hidden, inner], c.mlp_bias)?,
                };
                norms = ["input_layernorm", "post_attention_layernorm"];
            }
        }
        Ok(Self {
            attention_norm: Norm::new(source, name(norms[0]), c)?,
            qkv,
            out,
            mlp_norm: Norm::new(source, name(norms[1]), c)?,
            mlp,
            shape: BlockShape {
                heads: c.num_heads,
                kv_heads: c.num_kv_heads,
                head_dim: c.head_dim,
                activation: c.activation,
                pre_norm: c.pre_norm,
                parallel: c.parallel_residual,
            },
        })
    }

    /// # Shapes
    /// - `x` and the result: `[batch * time, hidden]`; `positions`: `[batch, time]`
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        rope: Option<&Rope>,
        positions: &Tensor<2, Int>,
        visible: Visible<'_>,
    ) -> Tensor<2> {
        let attend = |x| self.attention(x, rope, positions, visible);
        if self.shape.parallel {
            let attended = attend(self.attention_norm.forward(x.clone()));
            let fed = self.feed_forward(self.mlp_norm.forward(x.clone()));
            return x + attended + fed;
        }
        if self.shape.pre_norm {
            let x = x.clone() + attend(self.attention_norm.forward(x));
            return x.clone() + self.feed_forward(self.mlp_norm.forward(x));
        }
        let x = self.attention_norm.forward(x.clone() + attend(x));
        self.mlp_norm.forward(x.clone() + self.feed_forward(x))
    }

    fn feed_forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.mlp {
            Mlp::Gated { gate, up, down } => {
                let gate = gate.forward(x.clone());
                down.forward(ops::swiglu(gate, up.forward(x)))
            }
            Mlp::Plain { up, down } => {
                let y = up.forward(x);
                down.forward(match self.shape.activation {
                    Activation::Relu => activation::relu(y),
                    Activation::Gelu => ops::gelu(y),
                    Activation::SwiGlu => activation::silu(y),
                })
            }
        }
    }

    fn attention(
        &self,
        x: Tensor<2>,
        rope: Option<&Rope>,
        positions: &Tensor<2, Int>,
        visible: Visible<'_>,
    ) -> Tensor<2> {
        let BlockShape { heads, kv_heads, head_dim, .. } = self.shape;
        let [batch, time] = positions.dims();
        let (mut q, mut k, v) = match &self.qkv {
            Qkv::Separate(q, k, v) => (
                q.forward(x.clone()).reshape([batch, time, heads, head_dim]),
                k.forward(x.clone()).reshape([batch, time, kv_heads, head_dim]),
                v.forward(x).reshape([batch, time, kv_heads, head_dim]),
            ),
            Qkv::Fused(qkv) => {
                let all = qkv.forward(x).reshape([batch, time, heads, 3 * head_dim]);
                let part = |i: usize| all.clone().narrow(3, i * head_dim, head_dim);
                (part(0), part(1), part(2))
            }
        };
        if let Some((cos, sin)) = rope {
            let rotate = |x| ops::rotary(x, cos.clone(), sin.clone(), positions.clone());
            (q, k) = (rotate(q), rotate(k));
        }
        let scale = (head_dim as f64).powf(-0.5);
        let mixed = match visible {
            Visible::Segments { starts, ends: None } => {
                ops::causal_attention(q, k, v, starts.clone(), scale)
            }
            Visible::Segments { starts, ends: Some(ends) } => {
                ops::ranged_attention(q, k, v, starts.clone(), ends.clone(), scale)
            }
            Visible::Cache { slots, visible, layer } => {
                let write = |slot: &mut Option<Tensor<4>>, new: Tensor<4>| {
                    let cache = slot.take().expect("a cache is put back after each change");
                    let cache = ops::write_cache(cache, new, slots.clone());
                    *slot = Some(cache.clone());
                    cache
                };
                let (k, v) = (write(&mut layer.keys, k), write(&mut layer.values, v));
                ops::cached_attention(q, k, v, visible.clone(), scale)
            }
        };
        self.out.forward(mixed.reshape([batch * time, heads * head_dim]))
    }
}

impl Parameters for Block {
    fn for_each_param_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Parameter)) {
        self.attention_norm.for_each_param_mut(f);
        match &mut self.qkv {
            Qkv::Separate(q, k, v) => {
                q.for_each_param_mut(f);
                k.for_each_param_mut(f);
                v.for_each_param_mut(f);
            }
            Qkv::Fused(qkv) => qkv.for_each_param_mut(f),
        }
        self.out.for_each_param_mut(f);
        self.mlp_norm.for_each_param_mut(f);
        match &mut self.mlp {
            Mlp::Gated { gate, up, down } => {
                gate.for_each_param_mut(f);
                up.for_each_param_mut(f);
                down.for_each_param_mut(f);
            }
            Mlp::Plain { up, down } => {
                up.for_each_param_mut(f);
                down.for_each_param_mut(f);
            }
        }
    }
}
