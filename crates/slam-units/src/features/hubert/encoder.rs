//! The transformer: projection, positional convolution and blocks.

use burn::tensor::{Device, Int, Tensor};
use slam_nn::ops::{self, Activation};
use slam_nn::weights::WeightsError;

use super::config::HubertConfig;
use super::weights::{Convolution, LayerNorm, Linear, Source};

/// The epsilon of torch's `BatchNorm1d`.
const BATCH_NORM_EPS: f32 = 1e-5;

/// Projection, positional convolution and the blocks up to the layer that is asked for.
pub(super) struct Encoder {
    projection_norm: Option<LayerNorm>,
    projection: Linear,
    position: PositionalConvolution,
    blocks: Vec<Block>,
    norm: LayerNorm,
    pre_norm: bool,
    /// Blocks of the whole model.
    total: usize,
}

impl Encoder {
    /// Loads `layers` of the model's blocks.
    pub(super) fn load(
        source: &Source<'_>,
        config: &HubertConfig,
        layers: usize,
    ) -> Result<Self, WeightsError> {
        let hidden = config.hidden_size;
        let eps = config.layer_norm_eps;
        let input = config.conv_dim.last().copied().unwrap_or_default();
        let projection_norm = config
            .feat_proj_layer_norm
            .then(|| LayerNorm::load(source, "feature_projection.layer_norm", input, eps))
            .transpose()?;
        Ok(Self {
            projection_norm,
            projection: Linear::load(source, "feature_projection.projection", hidden, input)?,
            position: PositionalConvolution::load(source, config)?,
            blocks: (0..layers)
                .map(|i| Block::load(source, &format!("encoder.layers.{i}"), config))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::load(source, "encoder.layer_norm", hidden, eps)?,
            pre_norm: config.do_stable_layer_norm,
            total: config.num_hidden_layers,
        })
    }

    /// Frames of the frontend in the transformer's width.
    pub(super) fn project(&self, frames: Tensor<2>) -> Tensor<2> {
        let frames = match &self.projection_norm {
            Some(norm) => norm.forward(frames),
            None => frames,
        };
        self.projection.forward(frames, Activation::None)
    }

    /// Hidden states of projected frames, `[frames, hidden]`: those before the first block, then one a
    /// block, as transformers numbers them. `each` sees them one by one.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        each: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let mut x = x.clone() + self.position.forward(x);
        if !self.pre_norm {
            x = self.norm.forward(x);
        }
        if self.total == 0 && self.pre_norm {
            x = self.norm.forward(x);
        }
        each(0, &x);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            // With norms before attention the last hidden state alone has passed the final norm.
            if self.pre_norm && i + 1 == self.total {
                x = self.norm.forward(x);
            }
            each(i + 1, &x);
        }
        x
    }
}

/// A grouped convolution over neighbouring frames that stands for positions.
struct PositionalConvolution {
    groups: Vec<Convolution>,
    kernel: usize,
    /// Factor and summand per channel of a batch norm in inference.
    batch_norm: Option<(Tensor<1>, Tensor<1>)>,
}

impl PositionalConvolution {
    fn load(source: &Source<'_>, config: &HubertConfig) -> Result<Self, WeightsError> {
        let hidden = config.hidden_size;
        let (kernel, groups) =
            (config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups);
        let width = hidden / groups;
        let values = Self::weight(source, [hidden, width, kernel])?;
        let bias = source.values("encoder.pos_conv_embed.conv.bias", &[hidden])?;
        let size = width * width * kernel;
        let groups = (0..groups)
            .map(|g| {
                let part = &values[g * size..(g + 1) * size];
                let bias = bias[g * width..(g + 1) * width].to_vec();
                Convolution::new(part, [width, width, kernel], Some(bias), 1, source.device())
            })
            .collect();
        let batch_norm = config
            .conv_pos_batch_norm
            .then(|| {
                let get = |field: &str| {
                    source.vector(&format!("encoder.pos_conv_embed.batch_norm.{field}"), hidden)
                };
                let scale = get("weight")? / (get("running_var")? + BATCH_NORM_EPS).sqrt();
                let shift = get("bias")? - get("running_mean")? * scale.clone();
                Ok::<_, WeightsError>((scale, shift))
            })
            .transpose()?;
        Ok(Self { groups, kernel, batch_norm })
    }

    /// The weight `[output, input, kernel]`: plain, or under weight norm over all but the kernel's axis
    /// (Salimans and Kingma, 2016), by torch's new names or its old ones.
    fn weight(source: &Source<'_>, shape: [usize; 3]) -> Result<Vec<f32>, WeightsError> {
        let name = "encoder.pos_conv_embed.conv";
        let kernel = shape[2];
        let pairs = [
            ("parametrizations.weight.original0", "parametrizations.weight.original1"),
            ("weight_g", "weight_v"),
        ];
        for (magnitude, direction) in pairs {
            if !source.contains(&format!("{name}.{direction}")) {
                continue;
            }
            let magnitude = source.values(&format!("{name}.{magnitude}"), &[1, 1, kernel])?;
            let mut values = source.values(&format!("{name}.{direction}"), &shape)?;
            let mut norms = vec![0.0f64; kernel];
            for row in values.chunks_exact(kernel) {
                norms.iter_mut().zip(row).for_each(|(n, v)| *n += f64::from(*v).powi(2));
            }
            for row in values.chunks_exact_mut(kernel) {
                for ((v, n), g) in row.iter_mut().zip(&norms).zip(&magnitude) {
                    *v = (f64::from(*v) * f64::from(*g) / n.sqrt()) as f32;
                }
            }
            return Ok(values);
        }
        source.values(&format!("{name}.weight"), &shape)
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [time, hidden] = x.dims();
        let x = match &self.batch_norm {
            Some((scale, shift)) => {
                x * scale.clone().unsqueeze::<2>() + shift.clone().unsqueeze::<2>()
            }
            None => x,
        };
        // Half a kernel of zeros on both sides; an even kernel gives one frame too many, which is cut.
        let side = self.kernel / 2;
        let zeros = |frames| Tensor::<2>::zeros([frames, hidden], &x.device());
        let after = self.kernel - 1 - side;
        let padded = Tensor::cat(vec![zeros(side), x.clone(), zeros(after)], 0);
        let width = hidden / self.groups.len();
        let parts = self.groups.iter().enumerate().map(|(g, group)| {
            let part = padded.clone().narrow(1, g * width, width);
            group.forward(part, Activation::Gelu)
        });
        let out = Tensor::cat(parts.collect(), 1);
        debug_assert_eq!(out.dims(), [time, hidden]);
        out
    }
}

struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    heads: usize,
    pre_norm: bool,
}

impl Block {
    fn load(source: &Source<'_>, name: &str, config: &HubertConfig) -> Result<Self, WeightsError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, output, input| {
            Linear::load(source, &format!("{name}.{part}"), output, input)
        };
        let norm = |part: &str| {
            LayerNorm::load(source, &format!("{name}.{part}"), hidden, config.layer_norm_eps)
        };
        Ok(Self {
            query: linear("attention.q_proj", hidden, hidden)?,
            key: linear("attention.k_proj", hidden, hidden)?,
            value: linear("attention.v_proj", hidden, hidden)?,
            out: linear("attention.out_proj", hidden, hidden)?,
            attention_norm: norm("layer_norm")?,
            up: linear("feed_forward.intermediate_dense", inner, hidden)?,
            down: linear("feed_forward.output_dense", hidden, inner)?,
            norm: norm("final_layer_norm")?,
            heads: config.num_attention_heads,
            pre_norm: config.do_stable_layer_norm,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        if self.pre_norm {
            let x = x.clone() + self.attend(self.attention_norm.forward(x));
            x.clone() + self.feed_forward(self.norm.forward(x))
        } else {
            let x = self.attention_norm.forward(x.clone() + self.attend(x));
            self.norm.forward(x.clone() + self.feed_forward(x))
        }
    }

    fn attend(&self, x: Tensor<2>) -> Tensor<2> {
        let [time, hidden] = x.dims();
        let device: Device = x.device();
        let dim = hidden / self.heads;
        let split = |x: Tensor<2>| x.reshape([1, time, self.heads, dim]);
        let (q, k, v) = (
            split(self.query.forward(x.clone(), Activation::None)),
            split(self.key.forward(x.clone(), Activation::None)),
            split(self.value.forward(x, Activation::None)),
        );
        // Every frame sees every frame.
        let all = Tensor::<2, Int>::full([1, time], time as i64, &device);
        let out = ops::cached_attention(q, k, v, all, (dim as f64).powf(-0.5));
        self.out.forward(out.reshape([time, hidden]), Activation::None)
    }

    fn feed_forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.down.forward(self.up.forward(x, Activation::Gelu), Activation::None)
    }
}
